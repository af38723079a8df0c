"""Two readings make a usage: Nomad's definitions, the clock's three witnesses, and what no usage may ever say."""

import math
from dataclasses import replace
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no types of its own
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.assertions.measurements import VALIDATOR, assert_possible

from agent.messages.payloads import BlockIo, Network
from agent.metrics.rates import compute_usage, elapsed_ns, nomad_percent
from agent.metrics.reading import CpuReading, Reading

SECOND = 1_000_000_000
START = 1_795_545_707_683_326_937  # 2026-11-24T18:41:47.683326937Z
COUNTERS = st.integers(0, 2**63 - 1)


def at(
    seconds: float, *, used: float = 0.0, arrived: float | None = None, host: float | None = None, **parts: Any
) -> Reading:
    """Return a reading of a host of 4 CPUs; its clocks show `seconds` after the start unless told otherwise."""
    system = seconds if host is None else host
    cpu = CpuReading(
        total=round(used * SECOND),
        kernel=None,
        user=None,
        system=round((100 + 4 * system) * SECOND),
        online=4,
        throttled_periods=None,
        throttled_time=None,
    )
    reading = Reading(
        time=START + round(seconds * SECOND),
        arrived=7.0 + (seconds if arrived is None else arrived),
        cpu=cpu,
        memory=None,
        network=None,
        block_io=None,
        pids=None,
    )
    cpu_parts = {name: parts.pop(name) for name in list(parts) if name in CpuReading.__slots__}
    return replace(reading, cpu=replace(cpu, **cpu_parts), **parts)


@pytest.mark.parametrize(
    ("figures", "percent"),
    [
        ((100, 50, 200, 100, 4), 200),
        ((100, 50, 100, 100, 4), 0),
        ((100, 100, 100, 50, 4), 0),
        ((50, 100, 100, 200, 4), 0),
    ],
)
def test_pct_is_nomads(figures: tuple[int, int, int, int, int], percent: float) -> None:
    """Nomad's percentage, by Nomad's own test vector: 0 unless the part and the whole both grew."""
    assert nomad_percent(*figures) == percent


def test_cpu() -> None:
    """100 percent is one core busy all the time; of four cores that is 25 percent of the host."""
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
    """System and user mode are Nomad's: of what the container used, times the cores."""
    old = at(0, used=1, kernel=SECOND, user=0)
    measurements = compute_usage(old, at(10, used=5, kernel=2 * SECOND, user=3 * SECOND), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["system_mode"] == 1 / 4 * 4 * 100
    assert measurements["cpu"]["user_mode"] == 3 / 4 * 4 * 100


def test_throttling_is_cumulative_and_measured() -> None:
    """Throttling is passed on as counted, and named among the measured fields, in Nomad's order."""
    measurements = compute_usage(at(0), at(10, used=1, throttled_periods=7, throttled_time=9), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["throttled_periods"] == 7
    assert measurements["cpu"]["throttled_time"] == 9
    assert measurements["cpu"]["measured"] == ["Throttled Periods", "Throttled Time", "Percent"]


@pytest.mark.parametrize("core_mhz", [None, 0.0, -1.0, math.nan, math.inf])
def test_no_ticks_without_a_clock_rate(core_mhz: float | None) -> None:
    """An unknown or impossible clock rate: no ticks, rather than wrong ones."""
    measurements = compute_usage(at(0), at(10, used=5), core_mhz)
    assert measurements is not None
    assert "total_ticks" not in measurements["cpu"]


def test_percent_is_never_more_than_there_is() -> None:
    """The counter and the clock are not read at one instant: the percentage stops at all cores busy."""
    measurements = compute_usage(at(0), at(1, used=4.1), core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["percent"] == 400
    assert measurements["cpu"]["host_percent"] == 100


def test_time_is_the_engines() -> None:
    """A usage's time is the later reading's, to the nanosecond."""
    measurements = compute_usage(at(0), at(10), core_mhz=None)
    assert measurements is not None
    assert measurements["time"] == "2026-11-24T18:41:57.683326937Z"
    assert measurements["timestamp"] == START + 10 * SECOND


def test_rates() -> None:
    """A rate is the counter's change over the seconds that passed, whatever the interval was meant to be."""
    old = at(0, network=Network(rx_bytes=1000, tx_bytes=5), block_io=BlockIo(read_bytes=0, write_bytes=10))
    new = at(2.5, network=Network(rx_bytes=2000, tx_bytes=5), block_io=BlockIo(read_bytes=5, write_bytes=10))
    measurements = compute_usage(old, new, core_mhz=None)
    assert measurements is not None
    assert measurements["network"] == {"rx_bytes": 2000, "tx_bytes": 5, "rx_rate": 400.0, "tx_rate": 0.0}
    assert measurements["block_io"] == {"read_bytes": 5, "write_bytes": 10, "read_rate": 2.0, "write_rate": 0.0}


def test_no_rate_of_a_counter_that_fell_or_was_missing() -> None:
    """A counter that went back, or was not there before, has no rate; the counter itself is still true."""
    old = at(0, network=Network(rx_bytes=1000))
    new = at(10, network=Network(rx_bytes=10, tx_bytes=10), block_io=BlockIo(read_bytes=1, write_bytes=1))
    measurements = compute_usage(old, new, core_mhz=None)
    assert measurements is not None
    assert measurements["network"] == {"rx_bytes": 10, "tx_bytes": 10}
    assert measurements["block_io"] == {"read_bytes": 1, "write_bytes": 1}


def test_readings_stay_as_they_are() -> None:
    """A reading is measured against its neighbours on both sides: measuring adds nothing to it."""
    old, new = at(0, network=Network(rx_bytes=1)), at(10, network=Network(rx_bytes=2))
    compute_usage(old, new, core_mhz=None)
    assert new.network == {"rx_bytes": 2}


def test_no_usage_of_a_restarted_container() -> None:
    """A CPU counter that went back: there is nothing to say of the time in between."""
    assert compute_usage(at(0, used=5), at(10, used=1), core_mhz=None) is None


def test_no_usage_without_time() -> None:
    """The same document once more, or one out of order: no time passed, so there is no usage."""
    assert compute_usage(at(5, used=1), at(5, used=1, arrived=6), core_mhz=None) is None
    assert compute_usage(at(5, used=1), at(4, used=1), core_mhz=None) is None


def test_no_usage_of_one_reading() -> None:
    """It takes two."""
    assert compute_usage(None, at(0), core_mhz=None) is None


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_was_set_does_not_spoil_the_usage(hours: int) -> None:
    """The engine's clock jumped by an hour, its host's CPU time and the agent's clock did not: they are believed."""
    old, new = at(0), at(3600 * hours + 10, used=5, host=10, arrived=10.4)
    assert elapsed_ns(old, new) == 10 * SECOND
    measurements = compute_usage(old, new, core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["percent"] == 50
    assert measurements["timestamp"] == new.time


def test_documents_that_waited_arrive_all_at_once() -> None:
    """The agent was held up, or had jumped: its clock is wrong alone, the engine's two agree."""
    assert elapsed_ns(at(0), at(10, arrived=0.001)) == 10 * SECOND
    assert elapsed_ns(at(0), at(10, arrived=500)) == 10 * SECOND


def test_podmans_cpu_time_is_not_the_hosts() -> None:
    """The engine's CPU time is something else: the two clocks agree, and the finer one is taken."""
    assert elapsed_ns(at(0), at(10, host=1234, arrived=10.2)) == 10 * SECOND
    assert elapsed_ns(at(0), at(10, host=-50, arrived=10.2)) == 10 * SECOND
    assert elapsed_ns(at(0), at(10, host=0, arrived=10.2)) == 10 * SECOND


def test_small_differences_are_no_reason_to_doubt() -> None:
    """Documents come late and host CPU time lacks what was stolen: below 2 s or 10 % the engine's clock is right."""
    assert elapsed_ns(at(0), at(1, host=2.5, arrived=2.5)) == SECOND
    assert elapsed_ns(at(0), at(3600, host=3300, arrived=3300)) == 3600 * SECOND


def test_one_witness_against_it_is_no_reason_to_doubt() -> None:
    """The engine's clock is believed as long as one of the others is near it."""
    assert elapsed_ns(at(0), at(10, host=11.9, arrived=12.5)) == 10 * SECOND
    assert elapsed_ns(at(0), at(10, host=12.5, arrived=11.9)) == 10 * SECOND


def test_two_witnesses_are_not_enough_to_doubt() -> None:
    """Windows has no host CPU time: nobody can tell a set clock from late documents, and the engine's is taken."""
    old, new = at(0, system=None), at(3610, arrived=10, system=None)
    assert elapsed_ns(old, new) == 3610 * SECOND


def test_three_that_disagree_leave_the_engines_clock() -> None:
    """Where no two agree there is nothing better than the engine's own clock."""
    assert elapsed_ns(at(0), at(10, host=100, arrived=50)) == 10 * SECOND


@st.composite
def cpus(draw: st.DrawFn) -> CpuReading:
    maybe = st.none() | COUNTERS
    return CpuReading(
        total=draw(COUNTERS),
        kernel=draw(maybe),
        user=draw(maybe),
        system=draw(maybe),
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
def test_nothing_impossible_is_said_of_any_two_readings(old: Reading, new: Reading, core_mhz: float | None) -> None:
    """Never negative, never NaN or infinite, never more than the host has, nothing that was not measured."""
    measurements = compute_usage(old, new, core_mhz)
    if measurements is None:
        assert new.cpu.total < old.cpu.total or elapsed_ns(old, new) <= 0
        return
    assert new.cpu.total >= old.cpu.total
    assert_possible(measurements)
    for part in ("memory", "network", "block_io", "pids"):
        assert (part in measurements) == (getattr(new, part) is not None)
    for field in ("throttled_periods", "throttled_time"):
        assert (field in measurements["cpu"]) == (getattr(new.cpu, field) is not None)


def test_the_schema_of_these_tests_refuses_what_it_does_not_name() -> None:
    """The tests above would see a field too many, at the top and further down."""
    measurements: dict[str, Any] = dict(compute_usage(at(0), at(1), core_mhz=None) or {})
    for wrong in ({**measurements, "extra": 1}, {**measurements, "pids": {"extra": 1}}):
        with pytest.raises(jsonschema.ValidationError, match="extra"):
            VALIDATOR.validate(wrong)
