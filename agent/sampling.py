"""Which readings count: the first two, so that there is a usage at once, then one an interval on a steady grid. Pure.

A grid and not "interval seconds after the last one": engines read at their own second's tick, which is a little longer
than one, and every reading would push the next one further away.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import TypeVar

T = TypeVar("T")

TICK = 1.0  # seconds between two readings of an engine's stream, about
BEATS, LONGEST_BEAT = 10, 0.25  # an interval has so many beats, or more: each at most so many seconds long


def every(interval: float, arrivals: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
    """Yield of (seconds, thing) the first two, then the one nearest to each point of a grid that the second begins.

    Nothing can be picked after the next has come, so nearest is told by half a tick: what comes up to that long before
    a point counts for it, since the next one would be later than it is early. A source slower than the grid passes
    whole; after a stall the points that were missed are not made up for.
    """
    slack = min(TICK / 2, interval / 2)
    source = iter(arrivals)
    begin = due = 0.0
    for begin, thing in islice(source, 2):
        yield begin, thing
        due = begin + interval
    for arrival, thing in source:
        if arrival + slack >= due:
            yield arrival, thing
            point = math.floor((arrival + slack - begin) / interval) + 1
            # The division may round down to the point that has just been served.
            due = begin + (point if begin + point * interval > arrival + slack else point + 1) * interval


def due_times(first: float, interval: float) -> Iterator[float]:
    """Yield when to ask again, if the first answer came at `first`: half a tick later, then once an interval.

    An engine before version 25 answers at its collector's next tick, as it did the first time. Asked half a tick before
    a tick it answers at that one, and not now at this one and now at the next.
    """
    return grid(first + min(TICK, interval) / 2, interval)


def grid(begin: float, interval: float) -> Iterator[float]:
    """Yield a time once an interval, from `begin` or the next beat after it.

    Every container's grid keeps to the same beat, so that their usages leave in bursts: a message that has to wake the
    publisher and wait for its acknowledgement alone costs twice as much CPU time as one among others.
    """
    beat = min(interval / BEATS, LONGEST_BEAT)
    start = math.ceil(begin / beat) * beat
    return (start + point * interval for point in count())
