"""What is on a terminal, as a page for the browser: with its colours, in a light and a dark scheme."""

from collections.abc import Iterator
from html import escape
from itertools import groupby

import pyte
from pyte.screens import Char

DARK = {
    "background": "#171c23",
    "text": "#e4e9ef",
    "black": "#303944",
    "red": "#ff7b72",
    "green": "#4cc26a",
    "brown": "#e0aa3e",  # as pyte calls yellow
    "blue": "#6cb0ff",
    "magenta": "#c69cff",
    "cyan": "#5cc8d6",
    "white": "#c9d3dd",
    "brightblack": "#7d8894",
}
LIGHT = {
    "background": "#ffffff",
    "text": "#1c2128",
    "black": "#1c2128",
    "red": "#b3261e",
    "green": "#1a7f37",
    "brown": "#8a5a00",
    "blue": "#2463b4",
    "magenta": "#6b3fa0",
    "cyan": "#0b7285",
    "white": "#57606a",
    "brightblack": "#7a838c",
}
PAGE = """\
<!doctype html>
<meta charset="utf-8">
<style>
  body {{ margin: 0; padding: 14px 18px; background: {background}; color: {text}; }}
  /* A character is 9 by 18 pixels: between blocks there is no seam. */
  pre {{ margin: 0; font: 14.949px/18px "DejaVu Sans Mono", monospace; }}
</style>
<pre>{rows}</pre>
"""


def terminal_page(screen: pyte.Screen, dark: bool) -> str:
    """Return the page for what is on a terminal now."""
    scheme = DARK if dark else LIGHT
    rows = ("".join(_spans([screen.buffer[y][x] for x in range(screen.columns)], scheme)) for y in range(screen.lines))
    return PAGE.format(**scheme, rows="\n".join(rows))


def _spans(cells: list[Char], scheme: dict[str, str]) -> Iterator[str]:
    for style, run in groupby(cells, lambda cell: cell._replace(data="")):
        text, back = _colour(style.fg, scheme["text"], scheme), _colour(style.bg, scheme["background"], scheme)
        if style.reverse:
            text, back = back, text
        weight = "bold" if style.bold else "normal"
        yield f'<span style="color:{text};background:{back};font-weight:{weight}">'
        yield escape("".join(cell.data for cell in run)) + "</span>"


def _colour(name: str, default: str, scheme: dict[str, str]) -> str:
    """Return a colour for CSS. pyte names the 16 of a terminal, and gives six digits for the others."""
    if name == "default":
        return default
    return scheme.get(name) or (f"#{name}" if len(name) == 6 else scheme.get(name.removeprefix("bright"), default))
