"""How late usages arrive, computed from their arrival times and the times of their readings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """The arrival of a usage at a subscriber: topic, arrival time and time of the reading, in ns since the epoch."""

    topic: str
    arrived: int
    timestamp: int


def lateness(arrivals: Iterable[Arrival], interval: float) -> list[float]:
    """Return by how many seconds each usage arrived late.

    Each container has a schedule with one moment per interval. The schedule starts with the container's reading that
    was taken earliest relative to it, so a reading that was taken late makes its usage late as well.
    """
    step = int(interval * NS_PER_SECOND)
    by_topic: dict[str, list[Arrival]] = {}
    for arrival in arrivals:
        by_topic.setdefault(arrival.topic, []).append(arrival)
    late: list[float] = []
    for usages in by_topic.values():
        first = usages[0].timestamp
        moments = [round((usage.timestamp - first) / step) * step for usage in usages]
        base = min(usage.timestamp - moment for usage, moment in zip(usages, moments, strict=True))
        late += [(usage.arrived - base - moment) / NS_PER_SECOND for usage, moment in zip(usages, moments, strict=True)]
    return late


def share_within(late: Sequence[float], limit: float) -> float:
    """Return the share of usages that are at most so late; 0 if there is none."""
    return sum(each <= limit for each in late) / len(late) if late else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is not exceeded by this share of the values."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -(-int(share * 1000) * len(ordered) // 1000)) - 1)]
