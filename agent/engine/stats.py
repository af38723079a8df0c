"""The engine's stats document, as Docker on Linux and Windows and Podman write it, to a reading.

Engines agree on little beyond the names: what one leaves out, another writes as null, 0 or 2^64-1. A figure that cannot
be what it says (text, a fraction, below zero, beyond any counter) is taken for not measured.
"""

from collections.abc import Collection
from typing import Any, cast

import orjson

from agent.messages.payloads import BlockIo, Memory, Network, Pids
from agent.metrics import values
from agent.metrics.reading import ContainerNotRunningError, CpuReading, Reading, ReadingError
from agent.metrics.values import COUNTER_LIMIT, valid_count
from agent.runtime.text import preview
from agent.runtime.timestamps import parse_time

_MOST_CPUS = 1 << 16

_NETWORK = tuple("rx_bytes tx_bytes rx_packets tx_packets rx_errors tx_errors rx_dropped tx_dropped".split())  # noqa: SIM905


def parse_stats(raw: bytes, arrived: float) -> Reading:
    """Return what one stats document says; `arrived` is when it came, in monotonic seconds.

    Raises ReadingError, and nothing else, for whatever the bytes may be; its ContainerNotRunningError for a stopped
    container's zeros.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ReadingError(f"not JSON: {error}: {raw[:60]!r}") from error
    if not isinstance(document, dict):
        raise ReadingError(f"not a stats document but {type(document).__name__}")
    time = _time(document)
    cpu = _cpu(document)
    memory = _memory(_part(document, "memory_stats"), _podman(document))
    pids = _pids(_part(document, "pids_stats"))
    if cpu.total == 0 and memory is None and not (pids and pids.get("current")):
        raise ContainerNotRunningError("all zero: the container does not run")
    return Reading(time, arrived, cpu, memory, _network(document), _block_io(document), pids)


def parse_interface_names(raw: bytes) -> frozenset[str]:
    """Return the names of the network interfaces that a stats document lists; `reading` tells whether it is one."""
    return frozenset(_part(orjson.loads(raw), "networks"))


def _podman(document: dict[str, Any]) -> bool:
    return "cpu" in _part(document, "cpu_stats")  # a percentage that only Podman adds


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _time(document: dict[str, Any]) -> int:
    text = document.get("read")
    if not isinstance(text, str):
        raise ReadingError(f"no time of reading ('read'); keys: {', '.join(sorted(document))[:100]!r}")
    if text.startswith("0001-01-01T"):
        raise ContainerNotRunningError("no time of reading: the container does not run")
    try:
        time = parse_time(text)
    except ValueError as error:
        raise ReadingError(f"read: {error}") from error
    if not 0 <= time < COUNTER_LIMIT:
        raise ReadingError(f"read: not a time a clock can show: {text!r}")
    return time


def _cpu(document: dict[str, Any]) -> CpuReading:
    cpu = _part(document, "cpu_stats")
    usage = _part(cpu, "cpu_usage")
    total = valid_count(usage.get("total_usage"))
    if total is None:
        raise ReadingError(f"cpu_stats.cpu_usage.total_usage: not a counter: {preview(usage.get('total_usage'))}")
    kernel, user = valid_count(usage.get("usage_in_kernelmode")), valid_count(usage.get("usage_in_usermode"))
    system = valid_count(cpu.get("system_cpu_usage")) or None
    processors = valid_count(document.get("num_procs"))
    if processors and system is None:
        return _windows_cpu(total, kernel, user, processors)
    # Podman does not look: its zeros stand for nothing, however often the container was throttled.
    throttling = {} if _podman(document) else _part(cpu, "throttling_data")
    return CpuReading(
        total=total,
        kernel=kernel,
        user=user,
        system=system,
        online=_online(cpu.get("online_cpus"), usage.get("percpu_usage")),
        throttled_periods=valid_count(throttling.get("throttled_periods")),
        throttled_time=valid_count(throttling.get("throttled_time")),
    )


def _windows_cpu(total: int, kernel: int | None, user: int | None, processors: int) -> CpuReading:
    """Windows counts in 100 ns, knows no host's CPU time, and its throttling zeros are nobody's measurement."""
    total *= 100
    if total >= COUNTER_LIMIT:
        raise ReadingError(f"cpu_stats.cpu_usage.total_usage: beyond any counter: {total // 100}")
    kernel = None if kernel is None else valid_count(kernel * 100)
    user = None if user is None else valid_count(user * 100)
    return CpuReading(total, kernel, user, None, min(processors, _MOST_CPUS), None, None)


def _online(online: object, percpu: object) -> int:
    if type(online) is int and 0 < online <= _MOST_CPUS:
        return online
    # Engines before API 1.27 do not say; on cgroup v1 the list has an entry a CPU, as `docker stats` counts them.
    return min(len(percpu), _MOST_CPUS) if isinstance(percpu, list) and percpu else 1


def _memory(stats: dict[str, Any], podman: bool) -> Memory | None:
    if "privateworkingset" in stats or "commitbytes" in stats:
        return _windows_memory(stats)
    # Where the kernel does not account memory there is none; no living process uses 0 bytes.
    if not stats.get("usage"):
        return None
    details = _part(stats, "stats")
    found = {
        "usage": valid_count(stats.get("usage")),
        # Podman up to 4.2 gives the limit for the peak.
        "max_usage": None
        if podman and stats.get("max_usage") == stats.get("limit")
        else valid_count(stats.get("max_usage")),
        "rss": valid_count(details.get("rss", details.get("anon"))),
        "cache": valid_count(details.get("cache", details.get("file"))),
        "swap": valid_count(details.get("swap")),
        "mapped_file": valid_count(details.get("mapped_file", details.get("file_mapped"))),
        "limit": values.valid_limit(stats.get("limit")),
    }
    inactive = ("total_inactive_file", "inactive_file")  # cgroup v1, with its children; v2
    return values.make_memory(found, *(valid_count(details.get(name)) for name in inactive))


def _windows_memory(stats: dict[str, Any]) -> Memory | None:
    memory: Memory = {}
    if (usage := valid_count(stats.get("commitbytes"))) is not None:
        memory["usage"] = usage
    if (peak := valid_count(stats.get("commitpeakbytes"))) is not None:
        memory["max_usage"] = peak
    if (working := valid_count(stats.get("privateworkingset"))) is not None:
        memory["rss"] = memory["used"] = working  # `docker stats` shows the private working set
    return values.with_measured(memory)


def _network(document: dict[str, Any]) -> Network | None:
    interfaces = _part(document, "networks")
    # Podman 4 makes up one interface, also where the container has none or the host's: only its bytes are measured.
    made_up = interfaces.keys() == {"network"} and _podman(document)
    network: dict[str, int] = {}
    for field in _NETWORK[:2] if made_up else _NETWORK:
        total = _sum(interfaces.values(), field)
        if total is not None:
            network[field] = total
    if made_up and not any(network.values()):
        return None
    return cast(Network, network) if network else None


def _sum(interfaces: Collection[object], field: str) -> int | None:
    """Add up a field over all interfaces; a sum that lacks one of them would be wrong, and is None."""
    total = 0
    for interface in interfaces:
        value = interface.get(field) if isinstance(interface, dict) else None
        if type(value) is not int or value < 0:
            return None
        total += value
    return total if interfaces and total < COUNTER_LIMIT else None


def _block_io(document: dict[str, Any]) -> BlockIo | None:
    totals: dict[str, int | None] = {}
    entries = _part(document, "blkio_stats").get("io_service_bytes_recursive")
    for entry in entries if isinstance(entries, list) else ():
        operation = entry.get("op") if isinstance(entry, dict) else None
        # Whole words: Podman lists rios and wios, counts of operations, among the bytes.
        operation = operation.lower() if isinstance(operation, str) else ""
        if operation in ("read", "write"):
            total, value = totals.get(operation, 0), valid_count(entry.get("value"))
            totals[operation] = None if total is None or value is None else total + value
    storage = _part(document, "storage_stats")  # Windows
    read = valid_count(totals.get("read", storage.get("read_size_bytes")))
    write = valid_count(totals.get("write", storage.get("write_size_bytes")))
    return values.make_block_io(read, write)


def _pids(stats: dict[str, Any]) -> Pids | None:
    return values.make_pids(valid_count(stats.get("current")), values.valid_limit(stats.get("limit")))
