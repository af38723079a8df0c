"""What usage-agent sets itself, as data: each goal finds its figure in the results and says whether it is met."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]

RIVALS = {"docker2mqtt": "docker2mqtt", "glances": "Glances"}
"""Those who publish, too."""
SOURCES = ("stream", "poll", "kernel")
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """A goal, what was allowed, what was found, and whether that is met; None where it was not measured."""

    goal: str
    allowed: str
    found: str
    met: bool | None


def outcomes(results: Results) -> list[Outcome]:
    """Return every goal with what became of it."""
    return [outcome for goals in (_costs, _memory, _thousand, _growing, _small) for outcome in goals(results)]


def at_most(goal: str, limit: float, value: float | None, show: Callable[[float], str]) -> Outcome:
    """Return the outcome of a goal whose figure may not be above the limit."""
    if value is None:
        return Outcome(goal, f"≤ {show(limit)}", "-", None)
    return Outcome(goal, f"≤ {show(limit)}", show(value), value <= limit)


def ratio(value: float) -> str:
    """Spell a ratio as people say it: 1/40 rather than 0.025."""
    if 0 < value < 0.995:
        return f"1/{1 / value:.3g}"
    return f"{value:.3g}x"


def percent(value: float) -> str:
    """Spell a share."""
    return f"{value * 100:.3g} %"


def megabytes(value: float) -> str:
    """Spell a size."""
    return f"{value / MEGABYTE:.0f} MB"


def seconds(value: float) -> str:
    """Spell a time."""
    return f"{value:.2f} s"


def microseconds(value: float) -> str:
    """Spell a short time."""
    return f"{value * 1e6:.0f} µs"


def compared(results: Results, interval: str, one: str, other: str, what: str = "cost") -> float | None:
    """Return what `one` costs the host, engine included, as a ratio to what `other` costs it; or of `what` of it."""
    costs = results.get("rounds", {}).get(interval, {})
    if one not in costs or other not in costs or not costs[other][what]:
        return None
    return float(costs[one][what] / costs[other][what])


def _costs(results: Results) -> Iterator[Outcome]:
    for source, limit in (("poll", 1 / 5), ("kernel", 1 / 40)):
        for name, title in RIVALS.items():
            value = compared(results, "10", source, name)
            yield at_most(f"CPU of the host every 10 s: `{source}` to {title}", limit, value, ratio)
    # Neither asks the engine for anything: what it happens to do meanwhile is more than both need.
    floor = compared(results, "10", "kernel", "floor", "client")
    yield at_most("CPU every 10 s, without the engine, which neither asks: `kernel` to the floor", 3, floor, ratio)
    yield at_most(
        "CPU of the host every 1 s: `kernel` to `docker stats`",
        1 / 10,
        compared(results, "1", "kernel", "docker-stats"),
        ratio,
    )


def _memory(results: Results) -> Iterator[Outcome]:
    found = results.get("rounds", {}).get("10", {})
    rivals = [found[name]["peak"] for name in RIVALS if name in found]
    for source in SOURCES:
        peak = found.get(source, {}).get("peak")
        yield at_most(f"Peak memory, `{source}`", 45 * MEGABYTE, peak, megabytes)
        if rivals and peak is not None:
            least = min(rivals)
            goal = f"Peak memory, `{source}`, below every rival's"
            yield Outcome(goal, f"< {megabytes(least)}", megabytes(peak), peak < least)


def grown(results: Results, size: int, interval: float) -> Results | None:
    """Return what was found with so many fake containers, if it was measured."""
    found = (row for row in results.get("growth", ()) if (row["containers"], row["interval"]) == (size, interval))
    return next(found, None)


def _thousand(results: Results) -> Iterator[Outcome]:
    row = grown(results, 1000, 1) or {}
    place = "1000 fake containers every 1 s"
    yield at_most(f"{place}: CPU of the agent", 0.5, row.get("cpu"), percent)
    yield at_most(f"{place}: dropped usages", 0, row.get("dropped"), "{:.0f}".format)
    late = None if not row else 1 - row["on_time"]
    yield at_most(f"{place}: more than 100 ms late", 0.01, late, percent)
    yield at_most(f"{place}: peak memory", 120 * MEGABYTE, row.get("peak"), megabytes)


def _growing(results: Results) -> Iterator[Outcome]:
    for interval in (10, 1):
        few, many = grown(results, 100, interval), grown(results, 3000, interval)
        value = many["per_usage"] / few["per_usage"] - 1 if few and many else None
        yield at_most(f"A usage's CPU every {interval} s, growth from 100 to 3000 containers", 0.2, value, percent)


def _small(results: Results) -> Iterator[Outcome]:
    for source in SOURCES:
        first = results.get("starts", {}).get(source, {}).get("first")
        yield at_most(f"Start to first usage, `{source}`", 1.5, first, seconds)
    yield at_most("Importing the agent", 0.35, results.get("imports", {}).get("seconds"), seconds)
    yield at_most(
        "CPU of one usage, reading to acknowledgement", 200e-6, results.get("usage", {}).get("burst"), microseconds
    )
