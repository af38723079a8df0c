"""The goals for usage-agent's costs: each is compared with the results."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]

COMPETITORS = {"docker2mqtt": "docker2mqtt", "glances": "Glances"}
"""Titles of the competitors that publish to a broker as well, by name."""
SOURCES = ("stream", "poll", "kernel")
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """A goal, the limit, the result, and whether the goal is met (None if it was not measured)."""

    goal: str
    allowed: str
    found: str
    met: bool | None


def outcomes(results: Results) -> list[Outcome]:
    """Return the outcome of every goal."""
    return [
        outcome
        for goals in (_costs, _memory, _thousand_containers, _scaling, _single_figures)
        for outcome in goals(results)
    ]


def at_most(goal: str, limit: float, value: float | None, show: Callable[[float], str]) -> Outcome:
    """Return the outcome of a goal whose value must not exceed the limit."""
    if value is None:
        return Outcome(goal, f"≤ {show(limit)}", "-", None)
    return Outcome(goal, f"≤ {show(limit)}", show(value), value <= limit)


def ratio(value: float) -> str:
    """Format a ratio; below 1 as a fraction, 1/40 rather than 0.025."""
    if 0 < value < 0.995:
        return f"1/{1 / value:.3g}"
    return f"{value:.3g}x"


def percent(value: float) -> str:
    """Format a share."""
    return f"{value * 100:.3g} %"


def megabytes(value: float) -> str:
    """Format a size in bytes."""
    return f"{value / MEGABYTE:.0f} MB"


def seconds(value: float) -> str:
    """Format a time in seconds."""
    return f"{value:.2f} s"


def microseconds(value: float) -> str:
    """Format a short time, given in seconds."""
    return f"{value * 1e6:.0f} µs"


def cost_ratio(results: Results, interval: str, name: str, other: str, field: str = "cost") -> float | None:
    """Return the cost of one candidate divided by that of another, or None if one of them was not measured.

    Args:
        results: all results.
        interval: seconds between two usages, as the results have it.
        name: the candidate.
        other: the candidate to compare it with.
        field: which cost; by default that of the host, the engine's share included.
    """
    costs = results.get("rounds", {}).get(interval, {})
    if name not in costs or other not in costs or not costs[other][field]:
        return None
    return float(costs[name][field] / costs[other][field])


def _costs(results: Results) -> Iterator[Outcome]:
    for source, limit in (("poll", 1 / 5), ("kernel", 1 / 40)):
        for name, title in COMPETITORS.items():
            value = cost_ratio(results, "10", source, name)
            yield at_most(f"CPU of the host every 10 s: `{source}` to {title}", limit, value, ratio)
    # Neither uses the engine. What the engine happens to do meanwhile would be more than both cost.
    baseline = cost_ratio(results, "10", "kernel", "baseline", "client")
    yield at_most(
        "CPU every 10 s, without the engine, which neither uses: `kernel` to the baseline", 3, baseline, ratio
    )
    yield at_most(
        "CPU of the host every 1 s: `kernel` to `docker stats`",
        1 / 10,
        cost_ratio(results, "1", "kernel", "docker-stats"),
        ratio,
    )


def _memory(results: Results) -> Iterator[Outcome]:
    found = results.get("rounds", {}).get("10", {})
    peaks = [found[name]["peak"] for name in COMPETITORS if name in found]
    for source in SOURCES:
        peak = found.get(source, {}).get("peak")
        yield at_most(f"Peak memory, `{source}`", 45 * MEGABYTE, peak, megabytes)
        if peaks and peak is not None:
            least = min(peaks)
            goal = f"Peak memory, `{source}`, below every competitor's"
            yield Outcome(goal, f"< {megabytes(least)}", megabytes(peak), peak < least)


def growth_row(results: Results, size: int, interval: float) -> Results | None:
    """Return the results with so many fake containers at this interval, or None if they were not measured."""
    found = (row for row in results.get("growth", ()) if (row["containers"], row["interval"]) == (size, interval))
    return next(found, None)


def _thousand_containers(results: Results) -> Iterator[Outcome]:
    row = growth_row(results, 1000, 1) or {}
    load = "1000 fake containers every 1 s"
    yield at_most(f"{load}: CPU of the agent", 0.5, row.get("cpu"), percent)
    yield at_most(f"{load}: dropped usages", 0, row.get("dropped"), "{:.0f}".format)
    late = None if not row else 1 - row["on_time"]
    yield at_most(f"{load}: more than 100 ms late", 0.01, late, percent)
    yield at_most(f"{load}: peak memory", 120 * MEGABYTE, row.get("peak"), megabytes)


def _scaling(results: Results) -> Iterator[Outcome]:
    for interval in (10, 1):
        few, many = growth_row(results, 100, interval), growth_row(results, 3000, interval)
        value = many["per_usage"] / few["per_usage"] - 1 if few and many else None
        yield at_most(f"A usage's CPU every {interval} s, growth from 100 to 3000 containers", 0.2, value, percent)


def _single_figures(results: Results) -> Iterator[Outcome]:
    for source in SOURCES:
        first = results.get("starts", {}).get(source, {}).get("first")
        yield at_most(f"Start to first usage, `{source}`", 1.5, first, seconds)
    yield at_most("Importing the agent", 0.35, results.get("imports", {}).get("seconds"), seconds)
    yield at_most(
        "CPU of one usage, reading to acknowledgement", 200e-6, results.get("usage", {}).get("burst"), microseconds
    )
