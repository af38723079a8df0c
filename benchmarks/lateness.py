"""How late usages come, told from when they arrived and from the times they carry."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A usage at a subscriber: its topic, when it arrived and the reading's time, both ns since the epoch."""

    topic: str
    arrived: int
    timestamp: int


def lateness(arrivals: Iterable[Arrival], interval: float) -> list[float]:
    """Return by how many seconds each usage arrived after the point of its container's grid that it is for.

    The grid has a point an interval, and is where the earliest of the container's readings put it: a reading that was
    taken late counts as late, too.
    """
    step = int(interval * SECOND)
    by_topic: dict[str, list[Arrival]] = {}
    for arrival in arrivals:
        by_topic.setdefault(arrival.topic, []).append(arrival)
    late: list[float] = []
    for usages in by_topic.values():
        first = usages[0].timestamp
        points = [round((usage.timestamp - first) / step) * step for usage in usages]
        base = min(usage.timestamp - point for usage, point in zip(usages, points, strict=True))
        late += [(usage.arrived - base - point) / SECOND for usage, point in zip(usages, points, strict=True)]
    return late


def share_within(late: Sequence[float], limit: float) -> float:
    """Return which share of them is at most so late; of none, 0."""
    return sum(each <= limit for each in late) / len(late) if late else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of all is not above."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -(-int(share * 1000) * len(ordered) // 1000)) - 1)]
