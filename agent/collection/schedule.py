"""When to read: the first two readings soon, so that the first usage comes soon, then one for each interval. Pure.

The moments lie on a fixed schedule and are not counted from the last reading. Engines read at a tick of their own, a
little less often than once a second. Counted from the last reading, each reading would delay all that follow.
"""

import math
from dataclasses import dataclass

ENGINE_TICK_SECONDS = 1.0  # about the time between two documents of an engine's stream
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
    containers, so that readings are taken in a few bursts. A single reading and its message cost twice as much CPU time
    as one in a burst. An engine, in contrast, is better asked for one container after the other.
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


class Pace:
    """When to ask the engine for the next reading of one container. Several readers may use it, one after another.

    The interval may change. Then the next reading is due one new interval after the last one, or at once if that moment
    has passed.

    Attributes:
        interval: seconds between two readings.
        due: when the next reading is due, monotonic; at first in the past.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.due = -math.inf
        self._schedule: Schedule | None = None
        self._served: float | None = None  # the moment of the schedule that was served last

    def begin(self, schedule: Schedule) -> None:
        """Follow a schedule from now on."""
        self._schedule, self.due = schedule, schedule.begin

    def note_served(self, moment: float) -> None:
        """Note that the reading which was due has been taken. The next one is due after `moment`."""
        if self._schedule:
            self.due = self._schedule.next_after(moment)
            self._served = self.due - self._schedule.interval

    def change(self, interval: float) -> None:
        """Use another interval, seconds, from now on."""
        self.interval = interval
        if self._schedule:
            begin = self._schedule.begin if self._served is None else self._served + interval
            self.begin(Schedule(begin, interval))


class Sampler:
    """Picks documents of a stream: the first two, and then the one that arrives nearest to each moment of a schedule.

    The schedule begins with the second arrival.

    No arrival can be picked after the next one has come. So an arrival counts as nearest from half a tick before a
    moment on: the next arrival comes a tick later, and would be further away. If arrivals are rarer than the moments of
    the schedule, all are picked. After a stall, the moments that were missed are left out.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._first = 2 if pace.due == -math.inf else 0  # arrivals still to be picked before the schedule begins

    def picks(self, arrival: float) -> bool:
        """Return whether to use what arrives at this monotonic moment. Ask once for each arrival, in their order."""
        pace = self._pace
        if self._first:
            self._first -= 1
            if not self._first:
                pace.begin(Schedule(arrival, pace.interval))
                pace.note_served(arrival)
            return True
        slack = min(ENGINE_TICK_SECONDS, pace.interval) / 2
        if arrival + slack < pace.due:
            return False
        pace.note_served(arrival + slack)
        return True
