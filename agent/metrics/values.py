"""What a figure must be to count as measured, and what is made of figures, wherever they were read. Pure.

The engine's documents and the kernel's files both go through here, so that a field of a usage means one thing.
"""

from collections.abc import Mapping
from typing import cast

from agent.messages.payloads import BlockIo, Memory, Pids

COUNTER_LIMIT = 1 << 63  # no honest counter gets there, and neither JSON writers nor databases take more
NO_LIMIT_FROM = 1 << 62  # "no limit" is 2^64-1 on cgroup v2, and 2^63 less one page on v1

_MEASURED_MEMORY = (
    ("rss", "RSS"),
    ("cache", "Cache"),
    ("swap", "Swap"),
    ("usage", "Usage"),
    ("max_usage", "Max Usage"),
)


def valid_count(value: object) -> int | None:
    """Return what is a counter or a gauge, None for anything else."""
    # `type`, not isinstance: true is an int to Python.
    return value if type(value) is int and 0 <= value < COUNTER_LIMIT else None


def valid_limit(value: object) -> int | None:
    """Return what is a limit, None where there is none."""
    return value if type(value) is int and 0 < value < NO_LIMIT_FROM else None


def make_memory(found: Mapping[str, int | None], *inactive: int | None) -> Memory | None:
    """Return the memory of a Linux container from what was `found`, by field, with the fields derived from it.

    `inactive` is the page cache that would be given back first: with children, then without them, as far as known.
    """
    memory = cast(Memory, {field: value for field, value in found.items() if value is not None})
    if "usage" in memory:
        memory["used"] = _used(memory["usage"], *inactive)
        if "limit" in memory:
            memory["percent"] = memory["used"] / memory["limit"] * 100
    return with_measured(memory)


def _used(usage: int, *inactive: int | None) -> int:
    """Leave out the inactive page cache, as `docker stats` does."""
    return next((usage - cache for cache in inactive if cache is not None and cache < usage), usage)


def with_measured(memory: Memory) -> Memory | None:
    """Add Nomad's names of what is there; None if there is nothing."""
    measured = [name for field, name in _MEASURED_MEMORY if field in memory]
    if not measured:
        return None
    memory["measured"] = measured
    return memory


def make_block_io(read: int | None, write: int | None) -> BlockIo | None:
    """Return what was read and written, as far as it was counted."""
    found: BlockIo = {}
    if read is not None:
        found["read_bytes"] = read
    if write is not None:
        found["write_bytes"] = write
    return found or None


def make_pids(current: int | None, limit: int | None) -> Pids | None:
    """Return the processes and threads, as far as they are counted."""
    found: Pids = {}
    if current is not None:
        found["current"] = current
    if limit is not None:
        found["limit"] = limit
    return found or None
