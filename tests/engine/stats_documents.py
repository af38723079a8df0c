"""Stats documents as Docker on Linux, Docker on Windows and Podman write them, to be changed by a test."""

import json
from typing import Any

from agent.engine.stats import parse_stats
from agent.metrics.reading import CpuReading, Reading

UNLIMITED = 2**64 - 1
NOT_COUNTERS = [True, "12", -1, 1.5, UNLIMITED, 2**63, 1e300, None, [], {}]

Document = dict[str, Any]


def linux(**parts: Any) -> Document:
    """Return a document of Docker on Linux; `parts` replace whole parts of it."""
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


def podman(cpu_stats: Document | None = None, **parts: Any) -> Document:
    """Return a document of Podman, known by the percentage in its CPU part."""
    return linux(cpu_stats=linux()["cpu_stats"] | {"cpu": 0} | (cpu_stats or {}), **parts)


def windows(**parts: Any) -> Document:
    """Return a document of Docker on Windows; `parts` replace whole parts of it."""
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


def parse(document: object) -> Reading:
    """Return the reading in a document that arrived at 12.5 seconds."""
    return parse_stats(json.dumps(document).encode(), 12.5)


def parse_cpu(**parts: Any) -> CpuReading:
    """Return the CPU part of a document of Docker on Linux in whose CPU part `parts` are replaced."""
    return parse(linux(cpu_stats=linux()["cpu_stats"] | parts)).cpu


def cpu_reading(
    total: int,
    *,
    kernel: int | None = None,
    user: int | None = None,
    host_total: int | None = None,
    online: int = 1,
    throttled_periods: int | None = None,
    throttled_time: int | None = None,
) -> CpuReading:
    """Return a CPU reading in which nothing was measured but what is given."""
    return CpuReading(
        total=total,
        kernel=kernel,
        user=user,
        host_total=host_total,
        online=online,
        throttled_periods=throttled_periods,
        throttled_time=throttled_time,
    )
