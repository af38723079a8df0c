"""The memory and pids parts of stats documents, from cgroup v1 and v2, Windows and Podman."""

from typing import Any

import pytest

from engine.stats_documents import UNLIMITED, linux, parse, podman, windows


def test_memory_on_cgroup_v1_is_nomads() -> None:
    """Nomad's test vector: all fields are measured, and named in Nomad's order."""
    stats = {
        "rss": 6537216,
        "cache": 1234,
        "swap": 0,
        "mapped_file": 1024,
        "total_inactive_file": 904,
        "inactive_file": 1,
    }
    memory = {"usage": 5651904, "max_usage": 6651904, "limit": 56510000, "stats": stats}
    assert parse(linux(memory_stats=memory)).memory == {
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


def test_memory_on_cgroup_v2_has_other_names() -> None:
    """anon, file and file_mapped are rss, cache and mapped file; swap and the maximum are not reported."""
    stats = {"anon": 10, "file": 20, "file_mapped": 5, "inactive_file": 15}
    assert parse(linux(memory_stats={"usage": 40, "limit": 100, "stats": stats})).memory == {
        "usage": 40,
        "rss": 10,
        "cache": 20,
        "mapped_file": 5,
        "limit": 100,
        "used": 25,
        "percent": 25.0,
        "measured": ["RSS", "Cache", "Usage"],
    }


def test_memory_and_storage_on_windows() -> None:
    """Working set and commit charge are Nomad's RSS and usage; `docker stats` shows the working set."""
    found = parse(windows())
    assert found.memory == {
        "usage": 5651904,
        "max_usage": 6651904,
        "rss": 6537216,
        "used": 6537216,
        "measured": ["RSS", "Usage", "Max Usage"],
    }
    assert found.block_io == {"read_bytes": 7, "write_bytes": 8}


@pytest.mark.parametrize("stats", [{"total_inactive_file": 40}, {"inactive_file": 50}, {"inactive_file": "1"}, None])
def test_inactive_cache_of_the_whole_usage_is_not_subtracted(stats: object) -> None:
    """As in `docker stats`: page cache is subtracted only if it is below the usage."""
    memory = parse(linux(memory_stats={"usage": 40, "stats": stats})).memory
    assert memory == {"usage": 40, "used": 40, "measured": ["Usage"]}


@pytest.mark.parametrize("limit", [UNLIMITED, 2**63 - 4096, 0, None, "1"])
def test_missing_limit_is_left_out(limit: object) -> None:
    """Without a limit there is no percentage of it, for memory as for pids."""
    found = parse(linux(memory_stats={"usage": 40, "limit": limit}, pids_stats={"current": 3, "limit": limit}))
    assert found.memory == {"usage": 40, "used": 40, "measured": ["Usage"]}
    assert found.pids == {"current": 3}


@pytest.mark.parametrize("stats", [{}, {"limit": 100}, {"usage": 0, "stats": {"anon": 0, "file": 0}, "limit": 100}])
def test_memory_that_the_kernel_does_not_account_is_left_out(stats: dict[str, Any]) -> None:
    """No running process uses 0 bytes: where the memory cgroup is off there is no memory, rather than zeros."""
    assert parse(linux(memory_stats=stats)).memory is None


def test_early_podmans_limit_is_not_the_peak() -> None:
    """Podman up to 4.2 writes the limit as the peak: there is no peak. Docker's peak may be the limit."""
    memory_stats = {"usage": 5, "max_usage": 50, "limit": 50}
    without_peak = {"usage": 5, "limit": 50, "used": 5, "percent": 10.0, "measured": ["Usage"]}
    assert parse(podman(memory_stats=memory_stats)).memory == without_peak
    at_its_limit = parse(linux(memory_stats=memory_stats)).memory
    assert at_its_limit is not None
    assert at_its_limit["max_usage"] == 50
