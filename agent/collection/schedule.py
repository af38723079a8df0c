"""When to read: the first two readings at once, so that there is a usage at once, then one for each interval. Pure.

The moments lie on a steady schedule and not "an interval after the last reading". Engines read at their own second's
tick, which is a little longer than one second, so every reading would push the next one further away.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

ENGINE_TICK_SECONDS = 1.0  # between two documents of an engine's stream, about
ALIGNMENT_SECONDS = 1.0  # aligned schedules begin at multiples of this, or of the interval where that is shorter


@dataclass(frozen=True, slots=True)
class Schedule:
    """Moments on the monotonic clock, in seconds: `begin`, and one after each further `interval`."""

    begin: float
    interval: float

    def next_after(self, moment: float) -> float:
        """Return the first moment of the schedule that is later than `moment`.

        It is computed from `begin`, not by adding intervals to each other, so rounding errors do not add up.
        """
        if moment < self.begin:
            return self.begin
        number = math.floor((moment - self.begin) / self.interval) + 1
        due = self.begin + number * self.interval
        # The division may be rounded down to the moment that has just been served.
        return due if due > moment else self.begin + (number + 1) * self.interval


def poll_schedule(first: float, interval: float) -> Schedule:
    """Return when to ask an engine again whose first answer came at `first`: half a tick later, then every interval.

    An engine before version 25 answers at its collector's next tick, as it did the first time. When it is asked half a
    tick before a tick, it always answers at that tick. Asked near a tick, it would answer now at one, now at the next.
    """
    return Schedule(first + min(ENGINE_TICK_SECONDS, interval) / 2, interval)


def aligned_schedule(begin: float, interval: float) -> Schedule:
    """Return a schedule that begins at the aligned moment nearest to `begin`. Aligned moments are the same for all.

    This is for readings that need not be waited for: they are taken in a few bursts then. A reading and its message
    cost twice as much CPU time alone as among others. Engines, in contrast, are better asked one by one.
    """
    alignment = _alignment(interval)
    return Schedule(round(begin / alignment) * alignment, interval)


def first_aligned_schedule(first: float, interval: float) -> Schedule:
    """Return an aligned schedule for a container whose first reading was taken at `first`.

    It begins 1/4 to 5/4 of an alignment later: the first usage must not cover less, and must not come much later.
    """
    return aligned_schedule(first + _alignment(interval) * 3 / 4, interval)


def _alignment(interval: float) -> float:
    return min(interval, ALIGNMENT_SECONDS)


def downsample(interval: float, arrivals: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
    """Yield the first two arrivals, then the one nearest to each moment of a schedule that the second begins.

    No arrival can be picked after the next one has come. So an arrival counts as nearest from half a tick before a
    moment on: the next arrival comes a tick later, and would be further away. A source slower than the schedule passes
    whole. After a stall, the moments that were missed are left out.

    Args:
        interval: seconds between two moments of the schedule.
        arrivals: the monotonic moment in seconds and the item of each arrival, in order.
    """
    slack = min(ENGINE_TICK_SECONDS / 2, interval / 2)
    source = iter(arrivals)
    begin = due = 0.0
    for begin, item in islice(source, 2):
        yield begin, item
        due = begin + interval
    schedule = Schedule(begin, interval)
    for arrival, item in source:
        if arrival + slack >= due:
            yield arrival, item
            due = schedule.next_after(arrival + slack)
