"""The comparison: every candidate in turn, round after round, in a rotated order, with an idle stretch in each."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

from benchmarks.candidates import Candidate
from benchmarks.progress import say, wait
from benchmarks.stage import Stage
from benchmarks.windows import Window, measure

T = TypeVar("T")

IDLE = "idle"
SHARED = ("engine", "broker", "host")
OWN = ("client", "peak", "rss", "messages", "payload", "wire")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long it all takes: so many rounds, of windows of so many seconds at least."""

    rounds: int
    seconds: float

    def window(self, interval: float) -> float:
        """Return the window for this interval: whole intervals, so that each window has as many bursts as the next."""
        return max(1, round(self.seconds / interval)) * interval


def compare(stage: Stage, candidates: Sequence[Candidate], interval: float, plan: Plan) -> dict[str, Any]:
    """Return the medians of all windows, by candidate; the engine's, broker's and host's are above the idle ones."""
    windows: dict[str, list[Window]] = {name: [] for name in (IDLE, *(each.name for each in candidates))}
    turns: list[Candidate | None] = [None, *candidates]
    for number in range(plan.rounds):
        for candidate in rotated(turns, number):
            name = candidate.name if candidate else IDLE
            window = _turn(stage, candidate, interval, plan.window(interval))
            windows[name].append(window)
            cores = f"engine {window.engine:7.2%}, itself {window.client:7.2%}, host {window.host:7.2%}"
            say(f"every {interval:g} s, round {number + 1} of {plan.rounds}, {name}: {cores}")
    idle = windows[IDLE]
    return {name: summary(found, idle) for name, found in windows.items()}


def rotated(turns: Sequence[T], number: int) -> list[T]:
    """Return the order of a round: each begins with another one, so that a machine that drifts favours nobody."""
    first = number % len(turns)
    return [*turns[first:], *turns[:first]]


def summary(windows: Sequence[Window], idle: Sequence[Window]) -> dict[str, Any]:
    """Return medians over the rounds; what is shared with others is taken above the median of the idle windows.

    The medians come first: a machine's own bursts are in few windows, and in twice as many differences of two windows.
    """
    found = {name: median(getattr(window, name) for window in windows) for name in (*SHARED, *OWN)}
    bases = {name: median(getattr(window, name) for window in idle) for name in SHARED}
    found |= {name: found[name] - base for name, base in bases.items()}
    # An engine that happens to be calmer than when it was idle has not earned anything.
    costs = [max(window.engine - bases["engine"], 0) + window.client for window in windows]
    found |= {"cost": max(found["engine"], 0) + found["client"], "least": min(costs), "most": max(costs)}
    return found | {"windows": [window.as_json() for window in windows]}


def _turn(stage: Stage, candidate: Candidate | None, interval: float, seconds: float) -> Window:
    if candidate is None:
        return measure(stage, _nobody, seconds)
    program = candidate.start(stage, interval, stage.directory / candidate.name)
    try:
        wait(max(candidate.warm_up, interval + 2))
        window = measure(stage, lambda: program.pids, seconds)
        if not program.running:
            raise SystemExit(f"error: {candidate.title} has ended:\n{program.output[-2000:]}")
        if candidate.publishes and not window.messages:
            raise SystemExit(f"error: {candidate.title} has published nothing:\n{program.output[-2000:]}")
    finally:
        program.close()
    wait(1)  # for the engine to notice that nobody reads any more
    return window


def _nobody() -> set[int]:
    return set()
