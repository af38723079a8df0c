"""Numbers, bars and names as text of a known width, for tables. An unknown number (None) is an empty text. Pure."""

import unicodedata
from collections.abc import Sequence
from math import isnan

from agent.runtime.text import escape

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SPARKS = "▁▂▃▄▅▆▇█"
_BAR, _HALF_BAR = "━╸"  # unlike blocks, they leave a gap between the lines

ASCII = str.maketrans(dict(zip("▁▂▃▄▅▆▇█━╸…↓↑·", "_.-:=+*##-~v^-", strict=True)))
"""For str.translate(): replaces the block characters of a table, for an output that can show ASCII only."""


def percent(value: float | None) -> str:
    """Return a percentage: `0.4%`, `12.3%`, `1234%`."""
    if value is None:
        return ""
    return f"{value:.1f}%" if value < 99.95 else f"{min(value, 999_999):.0f}%"


def byte_count(value: float | None) -> str:
    """Return a number of bytes, in units of 1024: `512 B`, `1.5 KiB`, `12.3 MiB`, `999 GiB`."""
    if value is None:
        return ""
    scaled, exponent = _scale(value)
    digits = 0 if exponent == 0 or scaled >= 99.95 else 1
    return f"{scaled:.{digits}f} {_BYTE_UNITS[exponent]}"


def rate(value: float | None) -> str:
    """Return bytes per second in at most four characters: `0`, `512`, `1.5K`, `12M`."""
    if value is None:
        return ""
    scaled, exponent = _scale(value)
    digits = 0 if exponent == 0 or scaled >= 9.95 else 1
    return f"{scaled:.{digits}f}{_BYTE_UNITS[exponent][0] if exponent else ''}"


def count(value: float | None) -> str:
    """Return a whole number: `7`, `1234`, `12k`."""
    if value is None:
        return ""
    return f"{value:.0f}" if value < 10_000 else f"{min(value / 1000, 999):.0f}k"


def duration(seconds: float | None) -> str:
    """Return a duration in its largest unit: `12s`, `3m`, `5h`, `12d`."""
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{min(seconds // size, 9999):.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def bar(share: float | None, width: int) -> str:
    """Return a bar for a share from 0 to 1."""
    if share is None:
        return ""
    halves = round(max(0.0, min(1.0, share)) * width * 2)
    full, half = divmod(halves if share <= 0 else max(halves, 1), 2)
    return (_BAR * full + _HALF_BAR * half).ljust(width)


def sparkline(values: Sequence[float], width: int, floor: float) -> str:
    """Return the last values as a line of blocks, the newest on the right.

    Args:
        values: may contain nan, which is left blank.
        width: how many values are shown.
        floor: what a full block stands for at least, so that a value close to zero looks like one.
    """
    shown = values[-width:]
    top = max([floor, *(value for value in shown if not isnan(value))])
    return "".join(" " if isnan(value) else _SPARKS[min(7, int(max(0.0, value) / top * 8))] for value in shown).rjust(
        width
    )


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def fit(text: str, width: int, right: bool = False) -> str:
    """Return a text of exactly `width` columns: cleaned (`clean`), and cut with an ellipsis or filled with blanks."""
    line = clean(text[: 4 * width + 4])
    taken = width_of(line)
    if taken > width or len(text) > 4 * width + 4:
        line, taken = _cut(line, width - 1) if width else ("", 0)
        line, taken = line + "…" * (width > 0), taken + (width > 0)
    blank = " " * (width - taken)
    return blank + line if right else line + blank


def clean(text: str) -> str:
    """Return a text as one line of a terminal: what would be invisible or harmful is escaped or left out."""
    line = escape(text)
    return line if line.isascii() else "".join(c for c in line if unicodedata.category(c) not in ("Cf", "Me"))


def _cut(text: str, width: int) -> tuple[str, int]:
    taken = 0
    for position, character in enumerate(text):
        if taken + _width(character) > width:
            return text[:position], taken
        taken += _width(character)
    return text, taken


def _width(character: str) -> int:
    if unicodedata.category(character) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _scale(value: float) -> tuple[float, int]:
    exponent = 0
    while value >= 999.5 and exponent < len(_BYTE_UNITS) - 1:
        value /= 1024
        exponent += 1
    return value, exponent
