"""Lines that tell somebody who waits what is going on."""

from collections.abc import Callable


def _to_nobody(line: str) -> None:
    """Show nothing: no test session has said where to."""


show: Callable[[str], None] = _to_nobody
"""What prints a line; the test session sets it."""


def say(line: str) -> None:
    """Tell whoever runs the tests what takes long now."""
    show(line)
