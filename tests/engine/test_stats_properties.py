"""Whatever documents an engine sends, readings and usages are possible ones, and ReadingError is the only error."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.assertions.measurements import assert_possible

from agent.engine.stats import parse_stats
from agent.metrics.rates import compute_usage
from agent.metrics.reading import Reading, ReadingError
from agent.runtime.timestamps import format_time

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def mostly(plausible: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a plausible value, and one time in twenty any JSON."""
    return st.sampled_from(range(20)).flatmap(lambda chance: plausible if chance else JSON)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return objects with any subset of the fields, mostly."""
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
@settings(max_examples=1000, deadline=None)  # one pair in fourteen gives a usage
@given(DOCUMENTS, DOCUMENTS, st.floats(0, 10))
def test_usage_of_any_two_documents_is_possible(first: Any, second: Any, later: float) -> None:
    """Two documents, plausible or not, give a possible usage or none; the only error is ReadingError."""
    old = read_or_none(json.dumps(first).encode(), 0.0)
    new = read_or_none(json.dumps(second).encode(), later)
    if old is not None and new is not None and (measurements := compute_usage(old, new, 2000.0)) is not None:
        assert_possible(measurements)


@settings(deadline=None)
@given(DOCUMENTS, st.floats(0, 10))
def test_usage_of_a_document_a_second_later_is_possible(document: Any, later: float) -> None:
    """The same document with a time one second later gives a usage, and it is possible."""
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
def test_arbitrary_bytes_are_refused(raw: bytes) -> None:
    """Random bytes are a ReadingError: neither a reading nor another error."""
    with pytest.raises(ReadingError):
        parse_stats(raw, 0.0)


@settings(deadline=None)
@given(JSON)
def test_arbitrary_json_is_refused(value: Any) -> None:
    """Random JSON is a ReadingError, too."""
    with pytest.raises(ReadingError):
        parse_stats(json.dumps(value).encode(), 0.0)
