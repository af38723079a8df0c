"""The results as pictures (SVG)."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, log10
from typing import Any

from benchmarks.goals import MEGABYTE, Results, megabytes, percent, ratio
from benchmarks.svg import bar, curve, line, picture, text

WIDTH = 760
LEFT_MARGIN, RIGHT_MARGIN = 160, 140  # for names, and for values
ROW_HEIGHT, BAR_HEIGHT = 26, 16
NAMES = {
    "stream": "usage-agent, stream",
    "poll": "usage-agent, poll",
    "kernel": "usage-agent, kernel",
    "docker-stats": "docker stats",
    "docker2mqtt": "docker2mqtt",
    "glances": "Glances",
    "baseline": "the baseline",
}
AGENT_SOURCES = ("stream", "poll", "kernel")

Row = tuple[str, Sequence[tuple[float, str]], str]
"""A name, the parts of its bar (value and CSS class), and the text after the bar."""


def costs(results: Results) -> str:
    """Return the picture of the comparison: CPU at each interval, and memory."""
    shapes: list[str] = []
    top = 20.0
    count = results["containers"]
    for interval, found in results["rounds"].items():
        title = f"CPU of the host for {count} containers, a usage every {interval} s"
        shapes += _legend(top)
        top = _panel(
            shapes,
            top,
            title,
            "percent of one core, and how many times the cost of usage-agent's cheapest source",
            _cpu(found),
        )
    if found := results["rounds"].get("10"):
        top = _panel(shapes, top, f"Memory for {count} containers", "peak of the resident memory", _memory(found))
    return picture(WIDTH, top - 8, "What usage-agent and other programs cost a host", shapes)


def _cpu(found: dict[str, dict[str, Any]]) -> list[Row]:
    least = min((found[name]["cost"] for name in AGENT_SOURCES if name in found), default=0)
    rows: list[Row] = []
    for name in _named(found, "cost"):
        row = found[name]
        engine = max(row["cost"] - row["client"], 0)
        label = percent(row["cost"])
        if name not in AGENT_SOURCES and name != "baseline" and least:
            label += f" · {ratio(row['cost'] / least)}"
        rows.append((name, ((engine, "engine"), (row["client"], "program")), label))
    return rows


def _memory(found: dict[str, dict[str, Any]]) -> list[Row]:
    return [
        (name, ((found[name]["peak"], "program"),), megabytes(found[name]["peak"])) for name in _named(found, "peak")
    ]


def _named(found: dict[str, dict[str, Any]], key: str) -> list[str]:
    return sorted((name for name in found if name in NAMES), key=lambda name: -float(found[name][key]))


def _panel(shapes: list[str], top: float, title: str, note: str, rows: Sequence[Row]) -> float:
    """Draw bars below a title. Return where the next panel begins."""
    most = max((sum(value for value, _ in parts) for _, parts, _ in rows), default=0) or 1
    shapes += [text(16, top + 12, title, "title"), text(16, top + 30, note, "small")]
    y = top + 42
    for name, parts, label in rows:
        x = float(LEFT_MARGIN + 16)
        shapes.append(text(x - 10, y + 13, NAMES[name], "agent" if name in AGENT_SOURCES else "", "end"))
        for value, kind in parts:
            width = value / most * (WIDTH - LEFT_MARGIN - RIGHT_MARGIN - 32)
            shapes.append(bar(x, y, width, BAR_HEIGHT, kind))
            x += width
        shapes.append(text(max(x, LEFT_MARGIN + 17) + 7, y + 13, label, "agent" if name in AGENT_SOURCES else ""))
        y += ROW_HEIGHT
    return y + 22


def _legend(top: float) -> Iterator[str]:
    for x, kind, label in ((WIDTH - 240, "engine", "the engine"), (WIDTH - 140, "program", "the program")):
        yield bar(x, top + 21, 10, 10, kind)
        yield text(x + 15, top + 30, label, "small")


def growth(results: Results) -> str:
    """Return the picture of the growth: CPU of a usage and memory, by the number of containers."""
    rows = results["growth"]
    shapes = [
        *_chart(
            16, "CPU of one usage", "microseconds, by number of containers", rows, lambda row: row["per_usage"] * 1e6
        ),
        *_chart(396, "Memory", "MB, by number of containers", rows, lambda row: row["peak"] / MEGABYTE),
        bar(540, 14, 14, 3, "dot-first"),
        text(560, 20, "every 10 s", "small"),
        bar(640, 14, 14, 3, "dot-second"),
        text(660, 20, "every 1 s", "small"),
    ]
    return picture(WIDTH, 290, "How the costs of usage-agent grow with the number of containers", shapes)


def _chart(
    left: float, title: str, note: str, rows: Sequence[dict[str, Any]], figure: Callable[[dict[str, Any]], float]
) -> Iterator[str]:
    width, height, top, inner = 300, 170, 78, left + 44
    sizes = sorted({row["containers"] for row in rows})
    most = _round_up(max(figure(row) for row in rows))
    low, high = log10(sizes[0]), log10(sizes[-1])

    def x(size: int) -> float:
        return inner + 10 + (log10(size) - low) / ((high - low) or 1) * (width - 20)

    yield text(left, 32, title, "title")
    yield text(left, 50, note, "small")
    for step in range(5):
        y = top + height - step / 4 * height
        yield line(inner, y, inner + width, y)
        yield text(inner - 6, y + 4, f"{most * step / 4:g}", "small", "end")
    for size in sizes:
        yield text(x(size), top + height + 18, f"{size}", "small", "middle")
    for interval, kind in ((10, "first"), (1, "second")):
        points = [
            (x(row["containers"]), top + height - figure(row) / most * height)
            for row in rows
            if row["interval"] == interval
        ]
        if points:
            yield curve(points, kind)


def _round_up(value: float) -> float:
    """Return a round number that is not smaller, and whose quarters are round as well."""
    step = 10.0 ** (ceil(log10(value)) - 1) if value > 0 else 1.0
    return next(each * step for each in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if each * step >= value * 0.999)
