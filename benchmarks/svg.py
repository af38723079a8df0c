"""SVG shapes and texts, in light or dark colours as the page that shows them."""

from collections.abc import Iterable
from html import escape

STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.small { font-size: 11.5px; fill: #57606a }
.agent { font-weight: 600 }
.back { fill: #ffffff }
.engine { fill: #9aa7b4 }
.program { fill: #1f6feb }
.first { stroke: #1f6feb; fill: none; stroke-width: 2.2 }
.second { stroke: #d1570c; fill: none; stroke-width: 2.2 }
.dot-first { fill: #1f6feb }
.dot-second { fill: #d1570c }
.grid { stroke: #d0d7de; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #8d96a0 }
  .back { fill: #0d1117 }
  .engine { fill: #57616d }
  .program { fill: #4493f8 }
  .first { stroke: #4493f8 }
  .second { stroke: #f0883e }
  .dot-first { fill: #4493f8 }
  .dot-second { fill: #f0883e }
  .grid { stroke: #30363d }
}
"""


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """Return a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def bar(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a bar."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>'


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a line of the grid."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="grid"/>'


def curve(points: Iterable[tuple[float, float]], kind: str) -> str:
    """Return points joined by lines."""
    points = list(points)
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="dot-{kind}"/>' for x, y in points)
    return f'<polyline points="{joined}" class="{kind}"/>{dots}'


def picture(width: float, height: float, title: str, shapes: Iterable[str]) -> str:
    """Return the whole picture; a screen reader reads its title."""
    inside = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img">\n<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n'
        f'<rect width="100%" height="100%" rx="6" class="back"/>\n{inside}\n</svg>\n'
    )
