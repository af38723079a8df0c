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


def due_times(start: float, interval: float) -> Iterator[float]:
    """Yield when to read: `start`, a second later (or an interval, if that is less), then the grid that this begins."""
    yield start
    begin = start + min(TICK, interval)
    yield from (begin + point * interval for point in count())
