"""Stats documents of stopped containers, with invalid values, and bytes that are no stats document."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.engine.stats import parse_stats
from agent.metrics.rates import compute_usage
from agent.metrics.reading import ContainerNotRunningError, ReadingError
from engine.stats_documents import NOT_COUNTERS, Document, cpu_reading, linux, parse, windows


@pytest.mark.parametrize("empty", [None, [], {}, "", 0])
def test_empty_parts_are_not_measured(empty: object) -> None:
    """Engines write null, {} or [] for what they do not measure; such a part is left out."""
    names = ("memory_stats", "networks", "blkio_stats", "storage_stats", "pids_stats")
    found = parse(linux(**dict.fromkeys(names, empty)))
    assert (found.memory, found.network, found.block_io, found.pids) == (None, None, None, None)


@pytest.mark.parametrize("wrong", NOT_COUNTERS)
def test_values_that_cannot_be_counters_are_not_measured(wrong: object) -> None:
    """True, text, fractions, negative numbers and 2^63 or more: that field is left out, the others stay."""
    found = parse(
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
    assert found.cpu == cpu_reading(1)
    assert found.memory == ({"max_usage": 5, "limit": 9, "measured": ["Max Usage"]} if wrong else None)
    assert found.network == {"tx_bytes": 1}
    assert found.block_io == {"write_bytes": 1}
    assert found.pids == {"limit": 9}


@pytest.mark.parametrize("wrong", NOT_COUNTERS)
@pytest.mark.parametrize("system", [linux, windows])
def test_document_without_cpu_time_is_refused(system: Callable[..., Document], wrong: object) -> None:
    """No usage can be computed without the container's CPU time; the error names the field."""
    with pytest.raises(ReadingError, match="total_usage"):
        parse(system(cpu_stats={"cpu_usage": {"total_usage": wrong}}))


def test_windows_cpu_time_that_is_too_large_once_converted_is_refused() -> None:
    """The limit of a counter holds for nanoseconds, not for units of 100 ns."""
    with pytest.raises(ReadingError, match="total_usage"):
        parse(windows(cpu_stats={"cpu_usage": {"total_usage": 2**62}}))


@pytest.mark.parametrize(
    "wrong", [None, 5, "", "yesterday", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z"]
)
def test_document_without_a_possible_time_is_refused(wrong: object) -> None:
    """No time, an invalid one, or one that no clock shows; the error names the field."""
    with pytest.raises(ReadingError, match="read"):
        parse(linux(read=wrong))


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"null", b"[]", b'"x"', b"\xff", b"{}" * 2, b"[" * 5000, b'{"message": "no"}']
)
def test_bytes_that_are_no_document_are_refused(raw: bytes) -> None:
    """An empty or broken response, other JSON and an engine's error are a ReadingError, not a stopped container."""
    with pytest.raises(ReadingError) as caught:
        parse_stats(raw, 0.0)
    assert type(caught.value) is ReadingError


@pytest.mark.parametrize("depth", [500, 990, 1010, 1023])
def test_deeply_nested_json_is_refused(depth: int) -> None:
    """An error shows the value that it found, but not one that is nested deeper than Python's stack."""
    deep = b'{"a":' * depth + b"0" + b"}" * depth
    with pytest.raises(ReadingError, match=r"total_usage: not a counter: dict$|recursion|not JSON"):
        parse_stats(b'{"read":"2026-11-24T18:41:47Z","cpu_stats":{"cpu_usage":{"total_usage":' + deep + b"}}}", 0.0)


def test_zeros_of_a_stopped_container_are_not_a_reading() -> None:
    """A document with a time in the year 1, or with nothing but zeros, is of a container that does not run."""
    stopped = linux(cpu_stats={"cpu_usage": {"total_usage": 0}}, memory_stats={}, pids_stats={})
    for document in (stopped, {**stopped, "read": "0001-01-01T00:00:00Z"}, linux(read="0001-01-01T00:00:00Z")):
        with pytest.raises(ContainerNotRunningError):
            parse(document)


def test_container_that_has_just_started_is_running() -> None:
    """Without CPU time yet, a process or memory makes a reading; without either there is none."""
    just_started = linux(cpu_stats={"cpu_usage": {"total_usage": 0}})
    assert parse({**just_started, "pids_stats": {"current": 1}}).cpu.total == 0
    assert parse({**just_started, "memory_stats": {"usage": 1}}).cpu.total == 0
    with pytest.raises(ContainerNotRunningError):
        parse({**just_started, "pids_stats": {"current": 0}})


def test_network_that_is_counted_alone_is_a_reading() -> None:
    """Rootless Docker on cgroup v1 counts nothing else; what is not measured is left out of the usage."""
    zeros = linux(cpu_stats={"cpu_usage": {"total_usage": 0}}, memory_stats={}, pids_stats={"current": 0})
    counted = dict.fromkeys(("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"), 5)
    earlier = parse({**zeros, "networks": {"eth0": counted}})
    later = replace(earlier, time=earlier.time + 10**9, arrived=earlier.arrived + 1)
    usage = compute_usage(earlier, later, 1000.0)
    assert usage is not None
    assert usage["network"]["rx_bytes"] == 5
    assert not {"cpu", "memory", "pids"} & usage.keys()
    with pytest.raises(ContainerNotRunningError):
        parse({**zeros, "networks": {"eth0": dict.fromkeys(counted, 0)}})
