"""Schedules: the first two readings at once, then one for each interval on a schedule that does not drift."""

from collections.abc import Iterator
from itertools import accumulate, islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collection.schedule import Pace, Sampler, Schedule, aligned_schedule, first_aligned_schedule, poll_schedule


def picked_arrivals(interval: float, arrivals: list[float]) -> list[float]:
    return list(filter(Sampler(Pace(interval)).picks, arrivals))


def ticks(count: int, tick: float, begin: float = 100.0) -> list[float]:
    return [begin + number * tick for number in range(count)]


def test_first_two_arrivals_pass_at_once() -> None:
    """Two readings make the first usage, so the first two arrivals pass however close they are."""
    assert picked_arrivals(10, [0.0, 0.3, 0.6, 1.6]) == [0.0, 0.3]


@pytest.mark.parametrize(
    ("interval", "tick", "lost"),
    [
        (1, 1.0, 0),
        (1, 1.003, 0),  # Docker 20.10: a second and the work of reading
        (1, 0.997, 3),  # a thousand of these are three moments short
        (0.5, 1.0, 0),
        (0.5, 1.003, 0),
        (1, 5.0, 0),  # Podman
        (2, 5.0, 0),
        (5, 5.0, 0),
        (0.5, 0.5, 0),
    ],
)
def test_source_as_slow_as_the_interval_passes_whole(interval: float, tick: float, lost: int) -> None:
    """If the source ticks no faster than the interval, only an arrival that slips from its moment is lost."""
    arrivals = ticks(1000, tick)
    assert len(arrivals) - len(picked_arrivals(interval, arrivals)) <= lost


@pytest.mark.parametrize("tick", [0.97, 1.0, 1.003, 1.02, 1.1])
@pytest.mark.parametrize("interval", [2, 3, 10, 60])
def test_schedule_does_not_drift(interval: float, tick: float) -> None:
    """Over 60 intervals the mean differs from the interval by less than 1 %, and no pick is a tick from its moment."""
    picked = picked_arrivals(interval, ticks(int(61 * interval / tick) + 5, tick))[1:62]
    assert len(picked) == 61
    assert abs((picked[-1] - picked[0]) / 60 - interval) < interval / 100
    assert all(abs(arrival - picked[0] - point * interval) < tick for point, arrival in enumerate(picked))


@pytest.mark.parametrize("interval", [1, 2, 10])
def test_no_burst_after_a_stall(interval: float) -> None:
    """Moments that were missed while the engine stood still are left out, and the schedule stays."""
    before, after_stall = ticks(30, 1.0), ticks(60, 1.0, begin=100 + 300.3)
    picked = [arrival for arrival in picked_arrivals(interval, before + after_stall) if arrival > 200]
    assert picked[0] == after_stall[0]
    assert len(picked) <= 60 / interval + 1
    # The first may be late for its moment and close to the next one; from there on it is the schedule again.
    assert all(later - earlier >= interval / 2 for earlier, later in pairwise(picked[1:]))


def test_documents_held_back_make_one_usage() -> None:
    """Documents that waited for a frozen agent arrive all at once; one of them is picked."""
    burst = [150 + number / 1000 for number in range(45)]
    assert [arrival for arrival in picked_arrivals(10, ticks(3, 1.0) + burst) if arrival >= 150] == burst[:1]


@given(
    interval=st.sampled_from([0.5, 1.0, 2.0, 7.3, 10.0, 60.0]),
    gaps=st.lists(st.floats(0.001, 30), min_size=3, max_size=80),
)
def test_one_arrival_is_picked_for_each_moment(interval: float, gaps: list[float]) -> None:
    """However they arrive: one per moment of the schedule, and none is left out whose moment has none yet."""
    arrivals = list(accumulate(gaps))
    picked = picked_arrivals(interval, arrivals)
    assert picked[:2] == arrivals[:2]
    slack = min(0.5, interval / 2)

    def point(arrival: float) -> int:
        return int((arrival + slack - arrivals[1]) / interval + 1e-9)

    served = {point(arrivals[1])}
    for arrival in arrivals[2:]:
        if arrival in picked:
            assert point(arrival) not in served
            served.add(point(arrival))
        else:
            assert point(arrival - 1e-6) in served


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (10, [100.5, 110.5, 120.5, 130.5]),
        (1, [100.5, 101.5, 102.5, 103.5]),
        (0.5, [100.25, 100.75, 101.25, 101.75]),
        (3600, [100.5, 3700.5, 7300.5, 10900.5]),
    ],
)
def test_poll_schedule_begins_half_a_tick_after_the_first_answer(interval: float, expected: list[float]) -> None:
    """That is half a tick before the engine's next answer; from there on once an interval."""
    assert list(islice(moments(poll_schedule(100, interval), 100), 4)) == pytest.approx(expected)


def moments(schedule: Schedule, moment: float) -> Iterator[float]:
    """Yield the moments of a schedule, each asked for when the one before is reached."""
    while True:
        moment = schedule.next_after(moment)
        yield moment


@pytest.mark.parametrize("interval", [0.5, 1, 10, 3600])
@given(begins=st.lists(st.floats(0, 1e6), min_size=2))
def test_aligned_schedules_begin_together(interval: float, begins: list[float]) -> None:
    """Whenever containers were started, usages leave in few bursts; none is moved by more than half an alignment."""
    alignment = min(interval, 1)
    starts = [aligned_schedule(begin, interval).begin for begin in begins]
    assert all(abs(start - begin) <= alignment / 2 + 1e-6 for start, begin in zip(starts, begins, strict=True))
    assert all(start / alignment == pytest.approx(round(start / alignment), abs=1e-6) for start in starts)


@pytest.mark.parametrize("interval", [0.5, 1, 10, 3600])
@given(first=st.floats(0, 1e6))
def test_second_aligned_reading_comes_soon(interval: float, first: float) -> None:
    """The first usage covers a quarter of an alignment at least, and comes an alignment after that at the latest."""
    alignment = min(interval, 1)
    assert alignment / 4 - 1e-6 <= first_aligned_schedule(first, interval).begin - first <= alignment * 5 / 4 + 1e-6


def test_rounding_errors_do_not_add_up() -> None:
    """The ten thousandth moment is where it belongs, and none comes twice, however the division rounds."""
    schedule = Schedule(0.35, 0.7)
    many = list(islice(moments(schedule, 0), 10_001))
    assert many == [schedule.begin + number * schedule.interval for number in range(10_001)]


@given(begin=st.floats(0, 1e6), interval=st.sampled_from([0.5, 0.7, 1.0, 10.0]), passed=st.floats(0, 1e5))
def test_missed_moments_are_left_out(begin: float, interval: float, passed: float) -> None:
    """After a stall the next moment of the same schedule follows, less than an interval away."""
    due = Schedule(begin, interval).next_after(begin + passed)
    assert 0 < due - (begin + passed) <= interval * (1 + 1e-6)
    assert (due - begin) / interval == pytest.approx(round((due - begin) / interval), abs=1e-6)


@pytest.mark.parametrize(
    ("intervals", "due"),
    [
        ((10, 1), 111.0),  # an interval after the last moment that was served; if that has passed, at once
        ((10, 60), 170.0),
        ((10, 3600, 1), 111.0),
        ((10, 10), 120.0),
    ],
)
def test_other_interval_counts_from_the_last_reading(intervals: tuple[float, ...], due: float) -> None:
    """However often the interval changes before the next reading."""
    pace = Pace(intervals[0])
    pace.begin(Schedule(100, intervals[0]))
    pace.note_served(110.3)
    for interval in intervals[1:]:
        pace.change(interval)
    assert pace.due == due
    pace.note_served(max(due, 115))
    assert pace.due == next(moment for moment in moments(Schedule(due, intervals[-1]), 0) if moment > max(due, 115))


def test_other_interval_does_not_delay_the_second_reading() -> None:
    """A first usage comes as soon as it would have come."""
    pace = Pace(10)
    assert pace.due < 0
    pace.change(3600)
    pace.begin(poll_schedule(100, pace.interval))
    pace.change(60)
    assert pace.due == 100.5
    pace.note_served(100.5)
    assert pace.due == 160.5


@given(changes=st.lists(st.sampled_from([0.5, 1.0, 2.0, 10.0]), max_size=20))
def test_stream_goes_on_with_each_interval(changes: list[float]) -> None:
    """From one change to the next, arrivals are as far apart as the interval says, and each begins with a pick."""
    pace, arrivals = Pace(1), iter(ticks(2000, 1.0))
    sampler = Sampler(pace)
    assert [sampler.picks(next(arrivals)) for _ in range(2)] == [True, True]
    for interval in changes:
        pace.change(interval)
        picked = [arrival for arrival in islice(arrivals, 41) if sampler.picks(arrival)]
        assert len(picked) >= 41 // max(interval, 1) - 1
        assert all(later - earlier == max(interval, 1) for earlier, later in pairwise(picked[1:]))
