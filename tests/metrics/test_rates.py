"""The usage between two readings: Nomad's definitions, rates, and bounds that hold for every usage."""

import math
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no types of its own
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.assertions.measurements import VALIDATOR, assert_possible

from agent.messages.payloads import BlockIo, Network
from agent.metrics.rates import compute_usage, elapsed_ns, nomad_percent
from agent.metrics.reading import CpuReading, Reading
from metrics.readings import SECOND, START, at

COUNTERS = st.integers(0, 2**63 - 1)


@pytest.mark.parametrize(
    ("arguments", "percent"),
    [
        ((100, 50, 200, 100, 4), 200),
        ((100, 50, 100, 100, 4), 0),
        ((100, 100, 100, 50, 4), 0),
        ((50, 100, 100, 200, 4), 0),
    ],
)
def test_percentage_is_nomads(arguments: tuple[int, int, int, int, int], percent: float) -> None:
    """Nomad's own test vector: 0 unless the part and the whole both grew."""
    assert nomad_percent(*arguments) == percent


def test_percent_is_of_one_core_and_of_the_host() -> None:
    """One core busy all the time is 100 percent; with four cores that is 25 percent of the host."""
    measurements = compute_usage(at(0, used=5), at(10, used=15), core_mhz=2400.0)
    assert measurements is not None
    assert measurements["interval"] == 10.0
    assert measurements["cpu"] == {
        "percent": 100.0,
        "host_percent": 25.0,
        "total_ticks": 2400.0,
        "total": 15 * SECOND,
        "online": 4,
        "measured": ["Percent"],
    }


def test_modes_are_shares_of_the_containers_cpu_time() -> None:
    """System and user mode are percentages of the container's CPU time, times the cores, as in Nomad."""
    old = at(0, used=1, kernel=SECOND, user=0)
    measurements = compute_usage(old, at(10, used=5, kernel=2 * SECOND, user=3 * SECOND), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["system_mode"] == 1 / 4 * 4 * 100
    assert measurements["cpu"]["user_mode"] == 3 / 4 * 4 * 100


def test_throttling_is_cumulative_and_measured() -> None:
    """Throttling counters are passed on, and named among the measured fields in Nomad's order."""
    measurements = compute_usage(at(0), at(10, used=1, throttled_periods=7, throttled_time=9), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["throttled_periods"] == 7
    assert measurements["cpu"]["throttled_time"] == 9
    assert measurements["cpu"]["measured"] == ["Throttled Periods", "Throttled Time", "Percent"]


@pytest.mark.parametrize("core_mhz", [None, 0.0, -1.0, math.nan, math.inf])
def test_no_ticks_without_a_clock_rate(core_mhz: float | None) -> None:
    """With an unknown or impossible clock rate there are no ticks, rather than wrong ones."""
    measurements = compute_usage(at(0), at(10, used=5), core_mhz)
    assert measurements is not None
    assert "total_ticks" not in measurements["cpu"]


def test_modes_are_at_most_all_cores_together() -> None:
    """Kernel and user time may be counted in ticks, and exceed the total: together they are 100 times the cores."""
    old = at(0, used=1, kernel=0, user=0)
    measurements = compute_usage(old, at(1, used=2, kernel=SECOND // 10, user=SECOND), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["system_mode"] == pytest.approx(0.1 / 1.1 * 400, abs=0.001)
    assert measurements["cpu"]["user_mode"] == pytest.approx(1 / 1.1 * 400, abs=0.001)


def test_percent_is_not_limited_by_the_number_of_cpus() -> None:
    """An engine that is pinned to some CPUs knows only those, but its containers may use all; of a host 100 is all."""
    measurements = compute_usage(at(0, online=1), at(10, used=19.5, online=1), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["percent"] == 195
    assert measurements["cpu"]["host_percent"] == 100


def test_percent_is_right_if_the_documents_arrive_together() -> None:
    """Documents that waited while the agent was held up say by their own times how much was used."""
    measurements = compute_usage(at(0, online=1, arrived=5), at(10, used=19.5, online=1, arrived=5), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["percent"] == 195


def test_percent_is_at_most_all_cores_if_the_clock_was_set_back() -> None:
    """A second between two readings that the engine's clock calls a millisecond is no thousandfold usage."""
    measurements = compute_usage(at(0), at(0.001, used=0.5, arrived=1, host=1), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["percent"] == 400


def test_percentages_have_three_decimals() -> None:
    """Percentages and ticks have no more digits than mean something."""
    old = at(0, used=0, kernel=0, user=0)
    new = at(3, used=1, kernel=SECOND // 3, user=SECOND // 7)
    measurements = compute_usage(old, new, core_mhz=2400.1)
    assert measurements is not None
    cpu = measurements["cpu"]
    assert (cpu["percent"], cpu["host_percent"]) == (33.333, 8.333)
    assert (cpu["system_mode"], cpu["user_mode"]) == (133.333, 57.143)
    assert cpu["total_ticks"] == 800.033


def test_time_is_the_engines() -> None:
    """The time of a usage is that of the later reading, to the nanosecond."""
    measurements = compute_usage(at(0), at(10), core_mhz=None)
    assert measurements is not None
    assert measurements["time"] == "2026-11-24T18:41:57.683326937Z"
    assert measurements["timestamp"] == START + 10 * SECOND


def test_rate_is_per_second_between_the_readings() -> None:
    """A rate is the change of the counter over the seconds that passed, not over the configured interval."""
    old = at(0, network=Network(rx_bytes=1000, tx_bytes=5), block_io=BlockIo(read_bytes=0, write_bytes=10))
    new = at(2.5, network=Network(rx_bytes=2000, tx_bytes=5), block_io=BlockIo(read_bytes=5, write_bytes=10))
    measurements = compute_usage(old, new, core_mhz=None)
    assert measurements is not None
    assert measurements["network"] == {"rx_bytes": 2000, "tx_bytes": 5, "rx_rate": 400, "tx_rate": 0}
    assert measurements["block_io"] == {"read_bytes": 5, "write_bytes": 10, "read_rate": 2, "write_rate": 0}


@pytest.mark.parametrize(("received", "rate"), [(0, 0), (1, 0), (2, 1), (4, 1), (5, 2)])
def test_rate_is_in_whole_bytes(received: int, rate: int) -> None:
    """A rate is a whole number, rounded to the nearest one."""
    old, new = at(0, network=Network(rx_bytes=7)), at(3, network=Network(rx_bytes=7 + received))
    measurements = compute_usage(old, new, core_mhz=None)
    assert measurements is not None
    found = measurements["network"]["rx_rate"]
    assert (found, type(found)) == (rate, int)


def test_counter_that_fell_or_was_missing_has_no_rate() -> None:
    """Without a change there is no rate; the counter itself is still published."""
    old = at(0, network=Network(rx_bytes=1000))
    new = at(10, network=Network(rx_bytes=10, tx_bytes=10), block_io=BlockIo(read_bytes=1, write_bytes=1))
    measurements = compute_usage(old, new, core_mhz=None)
    assert measurements is not None
    assert measurements["network"] == {"rx_bytes": 10, "tx_bytes": 10}
    assert measurements["block_io"] == {"read_bytes": 1, "write_bytes": 1}


def test_readings_are_not_changed() -> None:
    """A reading is compared with the one before and the one after: no rate is written into it."""
    old, new = at(0, network=Network(rx_bytes=1)), at(10, network=Network(rx_bytes=2))
    compute_usage(old, new, core_mhz=None)
    assert new.network == {"rx_bytes": 2}


def test_restarted_container_has_no_usage() -> None:
    """A CPU counter that fell gives no usage: what was used in between is not known."""
    assert compute_usage(at(0, used=5), at(10, used=1), core_mhz=None) is None


def test_readings_without_time_between_have_no_usage() -> None:
    """The same document again, or one out of order, gives no usage."""
    assert compute_usage(at(5, used=1), at(5, used=1, arrived=6), core_mhz=None) is None
    assert compute_usage(at(5, used=1), at(4, used=1), core_mhz=None) is None


def test_single_reading_has_no_usage() -> None:
    """A usage is the difference of two readings."""
    assert compute_usage(None, at(0), core_mhz=None) is None


@st.composite
def cpus(draw: st.DrawFn) -> CpuReading:
    maybe = st.none() | COUNTERS
    return CpuReading(
        total=draw(COUNTERS),
        kernel=draw(maybe),
        user=draw(maybe),
        host_total=draw(maybe),
        online=draw(st.integers(1, 65_536)),
        throttled_periods=draw(maybe),
        throttled_time=draw(maybe),
    )


NETWORKS = st.fixed_dictionaries({}, optional={"rx_bytes": COUNTERS, "tx_bytes": COUNTERS, "rx_errors": COUNTERS})
BLOCK_IOS = st.fixed_dictionaries({}, optional={"read_bytes": COUNTERS, "write_bytes": COUNTERS})
READINGS = st.builds(
    Reading,
    time=st.integers(0, 2**63 - 1),
    arrived=st.floats(0, 1e9),
    cpu=cpus(),
    memory=st.none() | st.fixed_dictionaries({"usage": COUNTERS}),
    network=st.none() | NETWORKS,
    block_io=st.none() | BLOCK_IOS,
    pids=st.none() | st.fixed_dictionaries({"current": COUNTERS}),
)


@settings(deadline=None)
@given(READINGS, READINGS, st.none() | st.floats())
def test_usage_of_any_two_readings_is_possible(old: Reading, new: Reading, core_mhz: float | None) -> None:
    """No value is negative, NaN, infinite or more than the host has, and no field appears that was not measured."""
    measurements = compute_usage(old, new, core_mhz)
    if measurements is None:
        assert new.cpu.total < old.cpu.total or elapsed_ns(old, new) <= 0
        return
    assert new.cpu.total >= old.cpu.total
    assert_possible(measurements)
    modes = [measurements["cpu"].get("system_mode", 0), measurements["cpu"].get("user_mode", 0)]
    assert sum(modes) <= 100 * measurements["cpu"]["online"] + 0.001  # each is rounded
    for part in ("memory", "network", "block_io", "pids"):
        assert (part in measurements) == (getattr(new, part) is not None)
    for field in ("throttled_periods", "throttled_time"):
        assert (field in measurements["cpu"]) == (getattr(new.cpu, field) is not None)


def test_schema_of_these_tests_refuses_unknown_fields() -> None:
    """The tests above would notice an additional field, at the top and further down."""
    measurements: dict[str, Any] = dict(compute_usage(at(0), at(1), core_mhz=None) or {})
    for wrong in ({**measurements, "extra": 1}, {**measurements, "pids": {"extra": 1}}):
        with pytest.raises(jsonschema.ValidationError, match="extra"):
            VALIDATOR.validate(wrong)
