"""Which values count as measured, and the fields derived from them. Pure.

The engine's documents and the kernel's files both pass through here, so that a field of a usage has one meaning.
"""

from collections.abc import Mapping
from typing import cast

from agent.messages.payloads import BlockIo, Memory, Pids

COUNTER_LIMIT = 1 << 63  # no real counter reaches it, and neither JSON writers nor databases take larger numbers
DECIMALS = 3  # of percentages: the counters behind them are no finer
UNLIMITED_FROM = 1 << 62  # "no limit" is 2^64-1 on cgroup v2, and 2^63 less one page on cgroup v1

# Nomad's names of the measured fields, in Nomad's order (drivers/docker/util/stats_posix.go).
_NOMAD_MEMORY_NAMES = (
    ("rss", "RSS"),
    ("cache", "Cache"),
    ("swap", "Swap"),
    ("usage", "Usage"),
    ("max_usage", "Max Usage"),
)


def count_or_none(value: object) -> int | None:
    """Return a value that can be a counter or a gauge: an int, at least 0 and below 2^63. None for anything else."""
    # `type`, not isinstance: True is an int to Python.
    return value if type(value) is int and 0 <= value < COUNTER_LIMIT else None


def limit_or_none(value: object) -> int | None:
    """Return `value` if it is a limit; None if it stands for "no limit"."""
    return value if type(value) is int and 0 < value < UNLIMITED_FROM else None


def make_memory(found: Mapping[str, int | None], *inactive_file: int | None) -> Memory | None:
    """Return the memory of a Linux container, with `used`, `percent` and `measured` derived from what was found.

    Args:
        found: bytes by field of `Memory`; None for a field that was not measured.
        inactive_file: candidates for the page cache that the kernel would reclaim first, the best one first.

    Returns:
        The memory; None if no field of it was measured.
    """
    memory: Memory = {}  # begins with what people look for
    if (usage := found.get("usage")) is not None:
        memory["used"] = _without_inactive_file(usage, *inactive_file)
        if (limit := found.get("limit")) is not None:
            memory["percent"] = round(memory["used"] / limit * 100, DECIMALS)
    memory.update(cast(Memory, {field: value for field, value in found.items() if value is not None}))
    return with_measured(memory)


def _without_inactive_file(usage: int, *inactive_file: int | None) -> int:
    """Return the usage without the page cache, as `docker stats` does: subtracted only if it is below the usage.

    See calculateMemUsageUnixNoCache in docker/cli, cli/command/container/stats_helpers.go.
    """
    return next((usage - cache for cache in inactive_file if cache is not None and cache < usage), usage)


def with_measured(memory: Memory) -> Memory | None:
    """Set `measured` to the fields of `memory` that Nomad knows, by its names; return None if there are none."""
    measured = [name for field, name in _NOMAD_MEMORY_NAMES if field in memory]
    if not measured:
        return None
    memory["measured"] = measured
    return memory


def make_block_io(read: int | None, write: int | None) -> BlockIo | None:
    """Return the bytes read and written, as far as they were measured; None if neither was."""
    block_io: BlockIo = {}
    if read is not None:
        block_io["read_bytes"] = read
    if write is not None:
        block_io["write_bytes"] = write
    return block_io or None


def make_pids(current: int | None, limit: int | None) -> Pids | None:
    """Return the number of processes and threads and its limit, as far as they were measured; None if neither was."""
    pids: Pids = {}
    if current is not None:
        pids["current"] = current
    if limit is not None:
        pids["limit"] = limit
    return pids or None
