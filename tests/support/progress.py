"""Progress messages of slow steps, shown on the terminal."""

from collections.abc import Callable


def _discard(line: str) -> None:
    """Print nothing: no test session has set `show`."""


show: Callable[[str], None] = _discard
"""Prints a line; the test session sets this function."""


def report(line: str) -> None:
    """Show which slow step begins now."""
    show(line)
