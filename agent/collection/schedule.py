"""Which readings count: the first two, so that there is a usage at once, then one an interval on a steady grid. Pure.

A grid and not "interval seconds after the last one": engines read at their own second's tick, which is a little longer
than one, and every reading would push the next one further away.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

ENGINE_TICK_SECONDS = 1.0  # seconds between two readings of an engine's stream, about
ALIGNMENT_SECONDS = 1.0  # seconds; where the interval is shorter, that


@dataclass(frozen=True, slots=True)
class Schedule:
    """Points in time, monotonic seconds: one an `interval`, the first at `begin`."""

    begin: float
    interval: float

    def next_after(self, moment: float) -> float:
        """Return the first point that is later. Points are reckoned, not added to each other: no errors add up."""
        if moment < self.begin:
            return self.begin
        point = math.floor((moment - self.begin) / self.interval) + 1
        due = self.begin + point * self.interval
        # The division may round down to the point that has just been served.
        return due if due > moment else self.begin + (point + 1) * self.interval


def poll_schedule(first: float, interval: float) -> Schedule:
    """Return when to ask again, if the first answer came at `first`: half a tick later, then once an interval.

    An engine before version 25 answers at its collector's next tick, as it did the first time. Asked half a tick before
    a tick it answers at that one, and not now at this one and now at the next.
    """
    return Schedule(first + min(ENGINE_TICK_SECONDS, interval) / 2, interval)


def aligned_schedule(begin: float, interval: float) -> Schedule:
    """Return a grid that begins with the beat nearest to `begin`; beats are the same for all.

    For what need not be waited for: it is done in few bursts then. A reading and a message that come alone cost twice
    as much CPU time as those among others. An engine would rather be asked one by one.
    """
    beat = _beat(interval)
    return Schedule(round(begin / beat) * beat, interval)


def first_aligned_schedule(first: float, interval: float) -> Schedule:
    """Return when to read again, on the beat, if the first reading was at `first`: soon, then once an interval.

    Between a quarter of a beat and five quarters later: the first usage is not to cover less, nor to be waited for.
    """
    return aligned_schedule(first + _beat(interval) * 3 / 4, interval)


def _beat(interval: float) -> float:
    return min(interval, ALIGNMENT_SECONDS)


def downsample(interval: float, arrivals: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
    """Yield of (seconds, thing) the first two, then the one nearest to each point of a grid that the second begins.

    Nothing can be picked after the next has come, so nearest is told by half a tick: what comes up to that long before
    a point counts for it, since the next one would be later than it is early. A source slower than the grid passes
    whole; after a stall the points that were missed are not made up for.
    """
    slack = min(ENGINE_TICK_SECONDS / 2, interval / 2)
    source = iter(arrivals)
    begin = due = 0.0
    for begin, thing in islice(source, 2):
        yield begin, thing
        due = begin + interval
    grid = Schedule(begin, interval)
    for arrival, thing in source:
        if arrival + slack >= due:
            yield arrival, thing
            due = grid.next_after(arrival + slack)
