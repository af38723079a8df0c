"""Readings at chosen times, for tests of what is computed from two of them."""

from dataclasses import replace
from typing import Any

from agent.metrics.reading import CpuReading, Reading

SECOND = 1_000_000_000
START = 1_795_545_707_683_326_937  # 2026-11-24T18:41:47.683326937Z


def at(
    seconds: float, *, used: float = 0.0, arrived: float | None = None, host: float | None = None, **parts: Any
) -> Reading:
    """Return a reading from a host of 4 CPUs whose clocks all show `seconds` since the start, unless given.

    `host` and `arrived` are seconds by the host's CPU time and by the agent's clock, `used` is CPU time in seconds.
    """
    host_seconds = seconds if host is None else host
    cpu = CpuReading(
        total=round(used * SECOND),
        kernel=None,
        user=None,
        host_total=round((100 + 4 * host_seconds) * SECOND),
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
