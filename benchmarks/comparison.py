"""The comparison: in each round every candidate is measured once, and the testbed once without a candidate."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

from benchmarks.candidates import Candidate
from benchmarks.measurement import Measurement, measure
from benchmarks.progress import log_progress, wait
from benchmarks.testbed import Testbed

T = TypeVar("T")

IDLE = "idle"  # the name of the measurements without a candidate
SHARED = ("engine", "broker", "host")  # also busy without a candidate
OWN = ("client", "peak", "rss", "messages", "payload", "wire")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds, and how many seconds each measurement takes at least."""

    rounds: int
    seconds: float

    def duration(self, interval: float) -> float:
        """Return the seconds of a measurement: whole intervals, so that each sees the same number of publications."""
        return max(1, round(self.seconds / interval)) * interval


def compare(
    testbed: Testbed, candidates: Sequence[Candidate], interval: float, plan: Plan
) -> dict[str, dict[str, Any]]:
    """Return the medians of all rounds, by candidate; what the engine, broker and host do when idle is subtracted."""
    measurements: dict[str, list[Measurement]] = {name: [] for name in (IDLE, *(each.name for each in candidates))}
    order: list[Candidate | None] = [None, *candidates]
    for number in range(plan.rounds):
        for candidate in rotate(order, number):
            name = candidate.name if candidate else IDLE
            found = _measure(testbed, candidate, interval, plan.duration(interval))
            measurements[name].append(found)
            cores = f"engine {found.engine:7.2%}, program {found.client:7.2%}, host {found.host:7.2%}"
            log_progress(f"every {interval:g} s, round {number + 1} of {plan.rounds}, {name}: {cores}")
    return {name: summarize(found, measurements[IDLE]) for name, found in measurements.items()}


def rotate(order: Sequence[T], number: int) -> list[T]:
    """Return the order of a round. Each starts with another candidate, so that a drift of the machine favours none."""
    first = number % len(order)
    return [*order[first:], *order[:first]]


def summarize(measurements: Sequence[Measurement], idle: Sequence[Measurement]) -> dict[str, Any]:
    """Return the medians of a candidate's measurements, with the median of the idle ones subtracted where shared.

    The difference of two medians, and not the median of differences: a burst of the machine itself is in few
    measurements, but in twice as many differences of two measurements.
    """
    medians = {name: median(getattr(each, name) for each in measurements) for name in (*SHARED, *OWN)}
    idle_medians = {name: median(getattr(each, name) for each in idle) for name in SHARED}
    medians |= {name: medians[name] - idle_medians[name] for name in SHARED}
    # An engine that happens to do less than when idle must not make up for what the candidate itself costs.
    costs = [max(each.engine - idle_medians["engine"], 0) + each.client for each in measurements]
    medians |= {"cost": max(medians["engine"], 0) + medians["client"], "least": min(costs), "most": max(costs)}
    return medians | {"windows": [each.as_json() for each in measurements]}


def _measure(testbed: Testbed, candidate: Candidate | None, interval: float, seconds: float) -> Measurement:
    if candidate is None:
        return measure(testbed, _no_processes, seconds)
    program = candidate.start(testbed, interval, testbed.directory / candidate.name)
    try:
        wait(max(candidate.warm_up, interval + 2))
        measurement = measure(testbed, lambda: program.pids, seconds)
        if not program.running:
            raise SystemExit(f"error: {candidate.title} has ended:\n{program.output[-2000:]}")
        if candidate.publishes and not measurement.messages:
            raise SystemExit(f"error: {candidate.title} has published nothing:\n{program.output[-2000:]}")
    finally:
        program.close()
    wait(1)  # until the engine has noticed that its client is gone
    return measurement


def _no_processes() -> set[int]:
    return set()
