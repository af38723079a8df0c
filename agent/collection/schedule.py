"""When to read: the first two readings soon, so that the first usage comes soon, then one for each interval. Pure.

The moments lie on a fixed schedule and are not counted from the last reading. Engines read at a tick of their own, a
little less often than once a second. Counted from the last reading, each reading would delay all that follow.
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
    """Return when to ask an engine again after its first answer at `first`: half a tick later, then each interval.

    An engine before version 25 answers at the next tick of its collector, so `first` is the moment of a tick. Asked
    half way between two ticks, it always answers at the later one. Asked close to a tick, it would answer at that tick
    or at the next one, by chance.
    """
    return Schedule(first + min(ENGINE_TICK_SECONDS, interval) / 2, interval)


def aligned_schedule(begin: float, interval: float) -> Schedule:
    """Return a schedule that begins at the aligned moment nearest to `begin`, for readings that are there at once.

    Aligned moments are multiples of ALIGNMENT_SECONDS, or of the interval if that is shorter. They are the same for all
    containers, so that readings are taken in a few bursts: alone, a reading and its message cost twice as much CPU time
    as among others. An engine, in contrast, is better asked for one container after the other.
    """
    alignment = _alignment(interval)
    return Schedule(round(begin / alignment) * alignment, interval)


def first_aligned_schedule(first: float, interval: float) -> Schedule:
    """Return an aligned schedule for the readings after the first one, which was taken at `first`.

    It begins 1/4 to 5/4 seconds after `first`; of an interval below a second, 1/4 to 5/4 intervals. If it began sooner,
    the first usage would cover too short a time.
    """
    return aligned_schedule(first + _alignment(interval) * 3 / 4, interval)


def _alignment(interval: float) -> float:
    return min(interval, ALIGNMENT_SECONDS)


def downsample(interval: float, arrivals: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
    """Yield the first two arrivals, then the one nearest to each moment of a schedule that begins at the second.

    Each arrival has to be yielded or dropped before the next one comes. It counts as the nearest if it comes at most
    half a tick before the moment, or later: the next one comes a tick later, and would be further away. Arrivals that
    are rarer than the moments are all yielded. After a stall, the moments that were missed are left out.

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
