"""Sampling: the first two at once, then one an interval on a grid that does not drift."""

from collections.abc import Iterator
from itertools import accumulate, islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collection.schedule import Schedule, aligned_schedule, downsample, first_aligned_schedule, poll_schedule


def picks(interval: float, arrivals: list[float]) -> list[float]:
    return [arrival for arrival, _ in downsample(interval, ((arrival, None) for arrival in arrivals))]


def ticks(count: int, tick: float, begin: float = 100.0) -> list[float]:
    return [begin + number * tick for number in range(count)]


def test_first_two_at_once() -> None:
    """Two readings make the first usage, so the first two pass however close they are."""
    assert picks(10, [0.0, 0.3, 0.6, 1.6]) == [0.0, 0.3]


def test_does_not_read_ahead() -> None:
    """What has come is passed on before the next is asked for."""
    taken = []

    def arrivals() -> Iterator[tuple[float, str]]:
        for number in range(5):
            taken.append(number)
            yield float(number), f"reading {number}"

    thinned = downsample(1, arrivals())
    for number in range(5):
        assert next(thinned) == (float(number), f"reading {number}")
        assert taken == list(range(number + 1))


@pytest.mark.parametrize(
    ("interval", "tick", "lost"),
    [
        (1, 1.0, 0),
        (1, 1.003, 0),  # Docker 20.10: a second and the work of reading
        (1, 0.997, 3),  # a thousand of these are three grid points short
        (0.5, 1.0, 0),
        (0.5, 1.003, 0),
        (1, 5.0, 0),  # Podman
        (2, 5.0, 0),
        (5, 5.0, 0),
        (0.5, 0.5, 0),
    ],
)
def test_a_source_as_slow_as_the_interval_passes_whole(interval: float, tick: float, lost: int) -> None:
    """Where the source ticks no faster than the interval, no usage is lost but one that slips from its grid point."""
    arrivals = ticks(1000, tick)
    assert len(arrivals) - len(picks(interval, arrivals)) <= lost


@pytest.mark.parametrize("tick", [0.97, 1.0, 1.003, 1.02, 1.1])
@pytest.mark.parametrize("interval", [2, 3, 10, 60])
def test_grid_does_not_drift(interval: float, tick: float) -> None:
    """Over 60 intervals the mean differs from the interval by less than 1 %, and no pick is a tick from its point."""
    picked = picks(interval, ticks(int(61 * interval / tick) + 5, tick))[1:62]
    assert len(picked) == 61
    assert abs((picked[-1] - picked[0]) / 60 - interval) < interval / 100
    assert all(abs(arrival - picked[0] - point * interval) < tick for point, arrival in enumerate(picked))


@pytest.mark.parametrize("interval", [1, 2, 10])
def test_no_burst_after_a_stall(interval: float) -> None:
    """What was missed while the engine stood still is not made up for, and the grid stays."""
    before, after_stall = ticks(30, 1.0), ticks(60, 1.0, begin=100 + 300.3)
    picked = [arrival for arrival in picks(interval, before + after_stall) if arrival > 200]
    assert picked[0] == after_stall[0]
    assert len(picked) <= 60 / interval + 1
    # The first may be late for a point and close to the next; from there on it is the grid again.
    assert all(later - earlier >= interval / 2 for earlier, later in pairwise(picked[1:]))


def test_held_back_documents_are_one_usage() -> None:
    """When an agent was frozen, what waited for it comes all at once, and is not published all at once."""
    burst = [150 + number / 1000 for number in range(45)]
    assert [arrival for arrival in picks(10, ticks(3, 1.0) + burst) if arrival >= 150] == burst[:1]


@given(
    interval=st.sampled_from([0.5, 1.0, 2.0, 7.3, 10.0, 60.0]),
    gaps=st.lists(st.floats(0.001, 30), min_size=3, max_size=80),
)
def test_one_for_each_grid_point(interval: float, gaps: list[float]) -> None:
    """However they arrive: one reading per grid point, and none is left out whose point has none yet."""
    arrivals = list(accumulate(gaps))
    picked = picks(interval, arrivals)
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
def test_dues(interval: float, expected: list[float]) -> None:
    """Half a tick after the first answer, so half a tick before the engine's next, then once an interval from there."""
    assert list(islice(points(poll_schedule(100, interval), 100), 4)) == pytest.approx(expected)


def points(grid: Schedule, moment: float) -> Iterator[float]:
    """Yield the points of a grid, each asked for when the one before is reached."""
    while True:
        moment = grid.next_after(moment)
        yield moment


@pytest.mark.parametrize("interval", [0.5, 1, 10, 3600])
@given(begins=st.lists(st.floats(0, 1e6), min_size=2))
def test_all_keep_to_one_beat(interval: float, begins: list[float]) -> None:
    """Whenever containers were started, their usages leave in few bursts; nobody is moved by more than half a beat."""
    beat = min(interval, 1)
    starts = [aligned_schedule(begin, interval).begin for begin in begins]
    assert all(abs(start - begin) <= beat / 2 + 1e-6 for start, begin in zip(starts, begins, strict=True))
    assert all(start / beat == pytest.approx(round(start / beat), abs=1e-6) for start in starts)


@pytest.mark.parametrize("interval", [0.5, 1, 10, 3600])
@given(first=st.floats(0, 1e6))
def test_the_second_reading_comes_soon(interval: float, first: float) -> None:
    """The first usage covers a quarter of a beat at least, and comes a beat after that at the latest."""
    beat = min(interval, 1)
    assert beat / 4 - 1e-6 <= first_aligned_schedule(first, interval).begin - first <= beat * 5 / 4 + 1e-6


def test_points_do_not_add_up_errors() -> None:
    """The ten thousandth point is where it belongs, and none is given twice, however the division rounds."""
    grid = Schedule(0.35, 0.7)
    many = list(islice(points(grid, 0), 10_001))
    assert many == [grid.begin + point * grid.interval for point in range(10_001)]


@given(begin=st.floats(0, 1e6), interval=st.sampled_from([0.5, 0.7, 1.0, 10.0]), passed=st.floats(0, 1e5))
def test_no_point_is_made_up_for(begin: float, interval: float, passed: float) -> None:
    """After a stall it is the next point, on the same grid, less than an interval away."""
    due = Schedule(begin, interval).next_after(begin + passed)
    assert 0 < due - (begin + passed) <= interval * (1 + 1e-6)
    assert (due - begin) / interval == pytest.approx(round((due - begin) / interval), abs=1e-6)
