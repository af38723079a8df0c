"""The engine's documents, of all engines, and whatever else may come instead of one."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.assertions.measurements import assert_possible

from agent.engine.stats import parse_stats
from agent.metrics.rates import compute_usage
from agent.metrics.reading import ContainerNotRunningError, CpuReading, Reading, ReadingError
from agent.runtime.timestamps import format_time, parse_time

UNLIMITED = 2**64 - 1
NOT_COUNTERS = [True, "12", -1, 1.5, UNLIMITED, 2**63, 1e300, None, [], {}]


def linux(**parts: Any) -> dict[str, Any]:
    """Return a stats document of Docker on Linux; `parts` replace whole parts of it."""
    return {
        "read": "2026-11-24T18:41:47.683326937Z",
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": {
            "cpu_usage": {"total_usage": 1000, "usage_in_kernelmode": 400, "usage_in_usermode": 600},
            "system_cpu_usage": 50_000,
            "online_cpus": 4,
            "throttling_data": {"periods": 5, "throttled_periods": 3, "throttled_time": 2},
        },
        **parts,
    }


def windows(**parts: Any) -> dict[str, Any]:
    """Return a stats document of Docker on Windows."""
    return {
        "read": "2026-11-24T18:41:47.6833269Z",
        "num_procs": 8,
        "cpu_stats": {
            "cpu_usage": {"total_usage": 10, "usage_in_kernelmode": 4, "usage_in_usermode": 6},
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
        },
        "memory_stats": {"commitbytes": 5651904, "commitpeakbytes": 6651904, "privateworkingset": 6537216},
        "storage_stats": {"read_count_normalized": 9, "read_size_bytes": 7, "write_size_bytes": 8},
        "pids_stats": {},
        **parts,
    }


def read(document: object) -> Reading:
    return parse_stats(json.dumps(document).encode(), 12.5)


def cpu(**parts: Any) -> CpuReading:
    """Return what becomes of the CPU part of a document in which `parts` are replaced."""
    return read(linux(cpu_stats={**linux()["cpu_stats"], **parts})).cpu


def only_total(total: int) -> CpuReading:
    """Return the CPU part of a document that has nothing but the CPU time."""
    return CpuReading(
        total=total, kernel=None, user=None, system=None, online=1, throttled_periods=None, throttled_time=None
    )


def test_times() -> None:
    """A reading has the engine's time to the nanosecond, and the agent's time of its arrival as it was given."""
    found = read(linux())
    assert found.time == 1_795_545_707_683_326_937
    assert found.arrived == 12.5


def test_cpu() -> None:
    """CPU time is in nanoseconds, with the host's and the number of its CPUs."""
    assert cpu() == CpuReading(
        total=1000, kernel=400, user=600, system=50_000, online=4, throttled_periods=3, throttled_time=2
    )


def test_what_is_not_there_is_not_measured() -> None:
    """Of a document with nothing but its time and CPU time comes nothing but these; one CPU is the least there is."""
    found = read({"read": "2026-11-24T18:41:47Z", "cpu_stats": {"cpu_usage": {"total_usage": 5}}})
    assert found.cpu == only_total(5)
    assert (found.memory, found.network, found.block_io, found.pids) == (None, None, None, None)


@pytest.mark.parametrize("nothing", [None, [], {}, "", 0])
def test_empty_parts_are_not_measured(nothing: object) -> None:
    """Engines write null, {} or [] for what they do not measure: no part comes of it."""
    names = ("memory_stats", "networks", "blkio_stats", "storage_stats", "pids_stats")
    found = read(linux(**dict.fromkeys(names, nothing)))
    assert (found.memory, found.network, found.block_io, found.pids) == (None, None, None, None)


def test_online_cpus_are_the_engines() -> None:
    """The number of CPUs is what the engine says, else an entry per CPU, else one."""
    usage = {"total_usage": 1, "percpu_usage": [1, 2, 3]}
    assert cpu(online_cpus=2, cpu_usage=usage).online == 2
    for unsaid in (None, 0, -1, "2", 2**40):
        assert cpu(online_cpus=unsaid, cpu_usage=usage).online == 3
    assert cpu(online_cpus=0, cpu_usage={"total_usage": 1, "percpu_usage": None}).online == 1
    assert cpu(online_cpus=0, cpu_usage={"total_usage": 1, "percpu_usage": []}).online == 1


def test_windows_counts_in_hundreds_of_nanoseconds() -> None:
    """Windows' CPU time is converted, its processors are the CPUs; it measures no throttling and no host CPU time."""
    assert read(windows()).cpu == replace(only_total(1000), kernel=400, user=600, online=8)


def test_processes_are_not_windows() -> None:
    """Where the host's CPU time is known it is not Windows, whatever `num_procs` says: nanoseconds stay nanoseconds."""
    assert read(linux(num_procs=9)).cpu == cpu()


def test_percent_on_windows_is_on_the_scale_of_all_others() -> None:
    """One of eight processors busy for a second, 10^7 units of 100 ns, is 100 percent, 12.5 of the host."""
    later = windows(read="2026-11-24T18:41:48.6833269Z")
    later["cpu_stats"] = {"cpu_usage": {"total_usage": 10 + 10_000_000}}
    measurements = compute_usage(read(windows()), read(later), None)
    assert measurements is not None
    assert measurements["cpu"]["percent"] == 100
    assert measurements["cpu"]["host_percent"] == 12.5
    assert measurements["cpu"]["measured"] == ["Percent"]


def test_windows_memory_and_storage() -> None:
    """Working set and commit charge are Nomad's RSS and usage; the first is what `docker stats` shows."""
    found = read(windows())
    assert found.memory == {
        "usage": 5651904,
        "max_usage": 6651904,
        "rss": 6537216,
        "used": 6537216,
        "measured": ["RSS", "Usage", "Max Usage"],
    }
    assert found.block_io == {"read_bytes": 7, "write_bytes": 8}


def test_memory_on_cgroup_v1_is_nomads() -> None:
    """Nomad's test vector: rss, cache, swap, mapped file, usage and maximum, all measured, in Nomad's order."""
    stats = {
        "rss": 6537216,
        "cache": 1234,
        "swap": 0,
        "mapped_file": 1024,
        "total_inactive_file": 904,
        "inactive_file": 1,
    }
    memory = {"usage": 5651904, "max_usage": 6651904, "limit": 56510000, "stats": stats}
    assert read(linux(memory_stats=memory)).memory == {
        "usage": 5651904,
        "max_usage": 6651904,
        "rss": 6537216,
        "cache": 1234,
        "swap": 0,
        "mapped_file": 1024,
        "limit": 56510000,
        "used": 5651000,
        "percent": 10.0,
        "measured": ["RSS", "Cache", "Swap", "Usage", "Max Usage"],
    }


def test_memory_on_cgroup_v2() -> None:
    """There rss, cache and mapped file have other names, swap and the maximum are not told."""
    stats = {"anon": 10, "file": 20, "file_mapped": 5, "inactive_file": 15}
    assert read(linux(memory_stats={"usage": 40, "limit": 100, "stats": stats})).memory == {
        "usage": 40,
        "rss": 10,
        "cache": 20,
        "mapped_file": 5,
        "limit": 100,
        "used": 25,
        "percent": 25.0,
        "measured": ["RSS", "Cache", "Usage"],
    }


def test_used_is_usage_where_the_inactive_cache_is_not_below_it() -> None:
    """As `docker stats` does: what would leave nothing, or less, is not subtracted."""
    for stats in ({"total_inactive_file": 40}, {"inactive_file": 50}, {"inactive_file": "1"}, None):
        memory = read(linux(memory_stats={"usage": 40, "stats": stats})).memory
        assert memory == {"usage": 40, "used": 40, "measured": ["Usage"]}


@pytest.mark.parametrize("limit", [UNLIMITED, 2**63 - 4096, 0, None, "1"])
def test_no_limit_is_left_out(limit: object) -> None:
    """Where there is no limit there is no share of it, of memory as of processes."""
    found = read(linux(memory_stats={"usage": 40, "limit": limit}, pids_stats={"current": 3, "limit": limit}))
    assert found.memory == {"usage": 40, "used": 40, "measured": ["Usage"]}
    assert found.pids == {"current": 3}


@pytest.mark.parametrize("stats", [{}, {"limit": 100}, {"usage": 0, "stats": {"anon": 0, "file": 0}, "limit": 100}])
def test_memory_that_the_kernel_does_not_account(stats: dict[str, Any]) -> None:
    """No living process uses 0 bytes: where the memory cgroup is off there is no memory, rather than zeros."""
    assert read(linux(memory_stats=stats)).memory is None


def test_network_is_the_sum_of_all_interfaces() -> None:
    """Every interface counts, not only the first."""
    names = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped")
    interface = dict(zip(names, range(1, 9), strict=True))
    network = read(linux(networks={"eth0": interface, "eth1": {**interface, "extra": 1}})).network
    assert network == dict(zip(names, range(2, 18, 2), strict=True))


def test_a_sum_that_lacks_an_interface_is_left_out() -> None:
    """An interface without a figure, or no interface at all in its place: that sum is not known, others are."""
    networks = {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 3}}
    assert read(linux(networks=networks)).network == {"rx_bytes": 4}
    assert read(linux(networks={"eth0": {"rx_bytes": 1}, "eth1": None})).network is None
    assert read(linux(networks={"eth0": {"rx_bytes": 2**62}, "eth1": {"rx_bytes": 2**62}})).network is None


def test_block_io_is_the_sum_of_all_devices() -> None:
    """Operations are matched whole, in any case: neither Total nor Podman's counts of operations are bytes read."""
    entries = [
        {"major": 8, "op": "Read", "value": 1},
        {"major": 9, "op": "read", "value": 2},
        {"major": 8, "op": "WRITE", "value": 4},
        {"major": 8, "op": "Total", "value": 8},
        {"major": 8, "op": "rios", "value": 16},
        {"major": 8, "op": "wios", "value": 32},
        {"major": 8, "value": 64},
        None,
    ]
    found = read(linux(blkio_stats={"io_service_bytes_recursive": entries}))
    assert found.block_io == {"read_bytes": 3, "write_bytes": 4}


def test_a_device_that_cannot_be_counted_spoils_its_own_sum_only() -> None:
    """One figure that is none: the sum it belongs to is left out, wherever in the list it stands."""
    entries = [{"op": "read", "value": -1}, {"op": "read", "value": 5}, {"op": "write", "value": 7}]
    found = read(linux(blkio_stats={"io_service_bytes_recursive": entries}))
    assert found.block_io == {"write_bytes": 7}


def test_podmans_zeros_are_not_measurements() -> None:
    """Podman writes zeros for throttling and packets that it does not count, and makes up an interface for none."""
    parts = {"cpu": 0, "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}}
    podman = linux(cpu_stats={**linux()["cpu_stats"], **parts})
    zeros = {"rx_bytes": 0, "rx_packets": 0, "tx_bytes": 0, "tx_packets": 0}
    found = read({**podman, "networks": {"network": zeros}})
    assert (found.cpu.throttled_periods, found.cpu.throttled_time) == (None, None)
    assert found.network is None
    found = read({**podman, "networks": {"network": {**zeros, "rx_bytes": 5}}})
    assert found.network == {"rx_bytes": 5, "tx_bytes": 0}
    assert read({**podman, "networks": {"eth0": zeros}}).network == zeros
    assert read(linux(networks={"network": zeros})).network == zeros, "Docker's interfaces may have any name"


def test_early_podmans_peak_is_not_the_limit() -> None:
    """Podman up to 4.2 gives the limit for the peak of memory: there is no peak."""
    podman = linux(cpu_stats={**linux()["cpu_stats"], "cpu": 0.5})
    memory = read({**podman, "memory_stats": {"usage": 5, "max_usage": 50, "limit": 50}}).memory
    assert memory == {"usage": 5, "limit": 50, "used": 5, "percent": 10.0, "measured": ["Usage"]}
    at_its_limit = read(linux(memory_stats={"usage": 5, "max_usage": 50, "limit": 50})).memory
    assert at_its_limit is not None
    assert at_its_limit["max_usage"] == 50


@pytest.mark.parametrize("wrong", NOT_COUNTERS)
def test_what_cannot_be_a_counter_is_not_measured(wrong: object) -> None:
    """True, text, fractions, less than 0, more than any counter: that field is left out, and the rest stays."""
    found = read(
        linux(
            cpu_stats={
                "cpu_usage": {"total_usage": 1, "usage_in_kernelmode": wrong, "usage_in_usermode": wrong},
                "system_cpu_usage": wrong,
                "online_cpus": wrong,
                "throttling_data": {"throttled_periods": wrong, "throttled_time": wrong},
            },
            memory_stats={"usage": wrong, "max_usage": 5, "limit": 9, "stats": {"rss": wrong}},
            networks={"eth0": {"rx_bytes": wrong, "tx_bytes": 1}},
            blkio_stats={"io_service_bytes_recursive": [{"op": "Read", "value": wrong}, {"op": "Write", "value": 1}]},
            pids_stats={"current": wrong, "limit": 9},
        )
    )
    assert found.cpu == only_total(1)
    assert found.memory == ({"max_usage": 5, "limit": 9, "measured": ["Max Usage"]} if wrong else None)
    assert found.network == {"tx_bytes": 1}
    assert found.block_io == {"write_bytes": 1}
    assert found.pids == {"limit": 9}


@pytest.mark.parametrize("wrong", NOT_COUNTERS)
@pytest.mark.parametrize("system", [linux, windows])
def test_without_cpu_time_there_is_no_reading(system: Callable[..., dict[str, Any]], wrong: object) -> None:
    """Everything hangs on the container's CPU time: without it the document is refused, and the error names it."""
    with pytest.raises(ReadingError, match="total_usage"):
        read(system(cpu_stats={"cpu_usage": {"total_usage": wrong}}))


def test_windows_cpu_time_beyond_any_counter_is_refused() -> None:
    """What only becomes too large by the conversion is refused just as well."""
    with pytest.raises(ReadingError, match="total_usage"):
        read(windows(cpu_stats={"cpu_usage": {"total_usage": 2**62}}))


@pytest.mark.parametrize(
    "wrong", [None, 5, "", "yesterday", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z"]
)
def test_without_a_time_there_is_no_reading(wrong: object) -> None:
    """No time, rubbish, or a time that no clock shows: refused, and the error names the field."""
    with pytest.raises(ReadingError, match="read"):
        read(linux(read=wrong))


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"null", b"[]", b'"x"', b"\xff", b"{}" * 2, b"[" * 5000, b'{"message": "no"}']
)
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    """An empty answer, a torn one, other JSON, an engine's error: a ReadingError, not a stopped container."""
    with pytest.raises(ReadingError) as caught:
        parse_stats(raw, 0.0)
    assert type(caught.value) is ReadingError


@pytest.mark.parametrize("depth", [500, 990, 1010, 1023])
def test_what_is_nested_as_deep_as_json_may_be(depth: int) -> None:
    """An error shows what was found in place of a number, but not what is nested deeper than Python can follow."""
    deep = b'{"a":' * depth + b"0" + b"}" * depth
    with pytest.raises(ReadingError, match=r"total_usage: not a counter: dict$|recursion|not JSON"):
        parse_stats(b'{"read":"2026-11-24T18:41:47Z","cpu_stats":{"cpu_usage":{"total_usage":' + deep + b"}}}", 0.0)


def test_the_zeros_of_a_stopped_container() -> None:
    """A stopped container's document has a time of the year 1, or nothing but zeros: it does not run."""
    stopped = linux(cpu_stats={"cpu_usage": {"total_usage": 0}}, memory_stats={}, pids_stats={})
    for document in (stopped, {**stopped, "read": "0001-01-01T00:00:00Z"}, linux(read="0001-01-01T00:00:00Z")):
        with pytest.raises(ContainerNotRunningError):
            read(document)


def test_a_container_that_has_only_just_started_runs() -> None:
    """No CPU time yet, but a process, or memory: that is a reading. No process and no memory is none."""
    just_started = linux(cpu_stats={"cpu_usage": {"total_usage": 0}})
    assert read({**just_started, "pids_stats": {"current": 1}}).cpu.total == 0
    assert read({**just_started, "memory_stats": {"usage": 1}}).cpu.total == 0
    with pytest.raises(ContainerNotRunningError):
        read({**just_started, "pids_stats": {"current": 0}})


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.123456789Z", 123_456_789),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T18:30:00.25-05:30", 250_000_000),
        ("1969-12-31T23:59:59.9Z", -100_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
        ("0001-01-01T00:00:00+05:00", -62_135_614_800_000_000_000),
    ],
)
def test_parse_time(text: str, ns: int) -> None:
    """Every time that engines write, with any number of digits and any offset, is read to the nanosecond."""
    assert parse_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-24",
        "2026-11-24T18:41:47",
        "2026-11-24 18:41:47Z",
        "2026-11-24T18:41:47.Z",
        "2026-11-24T18:41:47.1234567890Z",
        "2026-11-24T18:41:47+0100",
        "2026-11-24T18:41:47+24:00",
        "2026-11-24T18:41:60Z",
        "2026-11-24T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-24T18:41:47Z\n",
        "٢٠٢٦-11-24T18:41:47Z",  # digits, but none of RFC 3339's
    ],
)
def test_parse_time_refuses(text: str) -> None:
    """Anything else is a ValueError: half a time would be a wrong one."""
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


@settings(deadline=None)
@given(st.integers(parse_time("0001-01-01T00:00:00Z"), parse_time("9999-12-31T23:59:59.999999999Z")))
def test_times_survive(ns: int) -> None:
    """What is written is read again as the same nanosecond, and always has nine digits and a Z."""
    text = format_time(ns)
    assert parse_time(text) == ns
    assert len(text) == len("2026-11-24T18:41:47.683326937Z")
    assert text.endswith("Z")


@pytest.mark.parametrize("ns", [2**80, -(2**80), 2**100])
def test_format_time_refuses(ns: int) -> None:
    """A year that has no four digits cannot be written: a ValueError, not another kind."""
    with pytest.raises(ValueError, match="years"):
        format_time(ns)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def mostly(plausible: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return what is plausible, and one time in twenty something else altogether."""
    return st.sampled_from(range(20)).flatmap(lambda chance: plausible if chance else JSON)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return, mostly, objects that have any of the fields."""
    return mostly(st.fixed_dictionaries({}, optional=fields))


def of_values(*names: str) -> st.SearchStrategy[Any]:
    return objects(**dict.fromkeys(names, VALUES))


VALUES = mostly(st.integers(0, 10**12) | st.integers(0, 2**64 - 1))
MOMENTS = st.integers(0, 5 * 10**9).map(lambda after: format_time(1_795_545_707 * 10**9 + after))
CPU_USAGE = mostly(
    st.fixed_dictionaries(
        {"total_usage": VALUES},
        optional={
            "usage_in_kernelmode": VALUES,
            "usage_in_usermode": VALUES,
            "percpu_usage": mostly(st.lists(VALUES, max_size=3)),
        },
    )
)
CPU_STATS = mostly(
    st.fixed_dictionaries(
        {"cpu_usage": CPU_USAGE},
        optional={
            "system_cpu_usage": VALUES,
            "online_cpus": mostly(st.integers(0, 8)),
            "throttling_data": of_values("periods", "throttled_periods", "throttled_time"),
            "cpu": VALUES,
        },
    )
)
MEMORY_STATS = objects(
    usage=VALUES,
    max_usage=VALUES,
    limit=VALUES,
    stats=of_values("rss", "anon", "cache", "file", "swap", "mapped_file", "inactive_file", "total_inactive_file"),
)
INTERFACES = st.dictionaries(
    st.sampled_from(["eth0", "eth1", "network"]),
    of_values("rx_bytes", "tx_bytes", "rx_packets", "tx_errors"),
    max_size=2,
)
OPERATIONS = st.lists(objects(op=mostly(st.sampled_from(["Read", "write", "rios"])), value=VALUES), max_size=3)
DOCUMENTS = st.fixed_dictionaries(
    {"read": mostly(MOMENTS), "cpu_stats": CPU_STATS},
    optional={
        "num_procs": VALUES,
        "memory_stats": MEMORY_STATS | of_values("commitbytes", "commitpeakbytes", "privateworkingset"),
        "networks": mostly(INTERFACES),
        "blkio_stats": objects(io_service_bytes_recursive=mostly(OPERATIONS)),
        "storage_stats": of_values("read_size_bytes", "write_size_bytes"),
        "pids_stats": of_values("current", "limit"),
    },
)


def read_or_none(raw: bytes, arrived: float) -> Reading | None:
    try:
        return parse_stats(raw, arrived)
    except ReadingError:
        return None


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)  # one in fourteen makes a usage
@given(DOCUMENTS, DOCUMENTS, st.floats(0, 10))
def test_nothing_impossible_comes_of_any_two_documents(first: Any, second: Any, later: float) -> None:
    """Plausible or not, two documents make a possible usage or none; the only error is ReadingError."""
    old = read_or_none(json.dumps(first).encode(), 0.0)
    new = read_or_none(json.dumps(second).encode(), later)
    if old is not None and new is not None and (measurements := compute_usage(old, new, 2000.0)) is not None:
        assert_possible(measurements)


@settings(deadline=None)
@given(DOCUMENTS, st.floats(0, 10))
def test_nothing_impossible_comes_of_one_document_later(document: Any, later: float) -> None:
    """The same document a second later: there is a usage, and it is a possible one."""
    document = {**document, "read": "2026-11-24T18:41:47Z"}
    old = read_or_none(json.dumps(document).encode(), 0.0)
    if old is None:
        return
    new = replace(old, time=old.time + 10**9, arrived=later)
    measurements = compute_usage(old, new, 2000.0)
    assert measurements is not None
    assert_possible(measurements)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_only_no_reading_comes_of_arbitrary_bytes(raw: bytes) -> None:
    """No bytes whatever make another error than ReadingError; bytes that nobody formed make no reading either."""
    with pytest.raises(ReadingError):
        parse_stats(raw, 0.0)


@settings(deadline=None)
@given(JSON)
def test_only_no_reading_comes_of_arbitrary_json(value: Any) -> None:
    """Nor does any other JSON."""
    with pytest.raises(ReadingError):
        parse_stats(json.dumps(value).encode(), 0.0)
