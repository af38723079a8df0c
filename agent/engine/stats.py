"""Stats documents of Docker on Linux, Docker on Windows and Podman, parsed into readings. Pure.

The document is the response of GET /containers/{id}/stats (https://docs.docker.com/reference/api/engine/,
"Get container stats based on resource usage"). Engines agree on little but the names: a value that one of them leaves
out, another writes as null, 0 or 2^64-1. A value that cannot be a counter (text, a fraction, negative, 2^63 or more)
counts as not measured. Fields are read as Nomad's docker driver reads them (drivers/docker/util/stats_posix.go).

A stream is cut into documents by `protocol.split_lines`; what ends a stream that hangs is in `http_client.py`.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import orjson

from agent.messages.payloads import BlockIo, Memory, Network, Pids
from agent.metrics import values
from agent.metrics.reading import ContainerNotRunningError, CpuReading, Reading, ReadingError
from agent.metrics.values import COUNTER_LIMIT, count_or_none
from agent.runtime.text import preview
from agent.runtime.timestamps import parse_time

_MAX_CPUS = 1 << 16  # Linux can be built for 8192; a larger number is no number of CPUs
_WINDOWS_TICK_NS = 100

_NETWORK_FIELDS = (
    "rx_bytes",
    "tx_bytes",
    "rx_packets",
    "tx_packets",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
)


def parse_stats(raw: bytes, arrived: float) -> Reading:
    """Return the reading in a stats document.

    Args:
        raw: the document, JSON.
        arrived: when it reached the agent, monotonic seconds.

    Raises:
        ReadingError: the bytes are no usable stats document, whatever they are. No other error is raised.
        ContainerNotRunningError: the document has the zeros that engines send for a container that does not run.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ReadingError(f"not JSON: {error}: {raw[:60]!r}") from error
    if not isinstance(document, dict):
        raise ReadingError(f"not a stats document but {type(document).__name__}")
    time = _time(document)
    cpu = _cpu(document)
    memory = _memory(_part(document, "memory_stats"), _is_podman(document))
    pids = _pids(_part(document, "pids_stats"))
    network = _network(document)
    if cpu.total == 0 and memory is None and not (pids and pids.get("current")):
        # Rootless Docker on cgroup v1, and kernels without controllers: the network is all that is counted. An engine
        # has no network of a container that does not run.
        if not network or not any(network.values()):
            raise ContainerNotRunningError("all zero: the container does not run")
        cpu, pids = replace(cpu, is_measured=False), None
    return Reading(
        time=time,
        arrived=arrived,
        cpu=cpu,
        memory=memory,
        network=network,
        block_io=_block_io(document),
        pids=pids,
    )


def parse_interface_names(raw: bytes) -> frozenset[str]:
    """Return the names of the network interfaces in a document that `parse_stats` accepts."""
    return frozenset(_part(orjson.loads(raw), "networks"))


def _is_podman(document: dict[str, Any]) -> bool:
    return "cpu" in _part(document, "cpu_stats")  # a percentage that Podman alone adds


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
    total = count_or_none(usage.get("total_usage"))
    if total is None:
        raise ReadingError(f"cpu_stats.cpu_usage.total_usage: not a counter: {preview(usage.get('total_usage'))}")
    kernel, user = count_or_none(usage.get("usage_in_kernelmode")), count_or_none(usage.get("usage_in_usermode"))
    host_total = count_or_none(cpu.get("system_cpu_usage")) or None
    processors = count_or_none(document.get("num_procs"))
    if processors and host_total is None:
        return _windows_cpu(total, kernel, user, processors)
    # Podman does not measure throttling: it writes zeros however often the container was throttled.
    throttling = {} if _is_podman(document) else _part(cpu, "throttling_data")
    return CpuReading(
        total=total,
        kernel=kernel,
        user=user,
        host_total=host_total,
        online=_online_cpus(cpu.get("online_cpus"), usage.get("percpu_usage")),
        throttled_periods=count_or_none(throttling.get("throttled_periods")),
        throttled_time=count_or_none(throttling.get("throttled_time")),
    )


def _windows_cpu(total: int, kernel: int | None, user: int | None, processors: int) -> CpuReading:
    """Convert the CPU part of Windows, which counts in units of 100 ns.

    Windows measures neither the host's CPU time nor throttling; its zeros for throttling mean nothing.
    """
    total_ns = count_or_none(total * _WINDOWS_TICK_NS)
    if total_ns is None:
        raise ReadingError(f"cpu_stats.cpu_usage.total_usage: beyond any counter: {total}")
    return CpuReading(
        total=total_ns,
        kernel=None if kernel is None else count_or_none(kernel * _WINDOWS_TICK_NS),
        user=None if user is None else count_or_none(user * _WINDOWS_TICK_NS),
        host_total=None,
        online=min(processors, _MAX_CPUS),
        throttled_periods=None,
        throttled_time=None,
    )


def _online_cpus(online: object, percpu: object) -> int:
    if type(online) is int and 0 < online <= _MAX_CPUS:
        return online
    # Before API 1.27 there is no `online_cpus`. On cgroup v1 the list has one entry per CPU, as `docker stats` counts.
    return min(len(percpu), _MAX_CPUS) if isinstance(percpu, list) and percpu else 1


def _memory(stats: dict[str, Any], podman: bool) -> Memory | None:
    if "privateworkingset" in stats or "commitbytes" in stats:
        return _windows_memory(stats)
    # A kernel without memory accounting shows 0 bytes or nothing; no running process uses 0 bytes.
    if not stats.get("usage"):
        return None
    details = _part(stats, "stats")
    limit_as_peak = podman and stats.get("max_usage") == stats.get("limit")  # Podman up to 4.2 shows the limit as peak
    # Names in memory.stat: of cgroup v1, else of cgroup v2. Nomad looks for file_mapped on v1, too, and reports 0.
    found = {
        "usage": count_or_none(stats.get("usage")),
        "max_usage": None if limit_as_peak else count_or_none(stats.get("max_usage")),
        "rss": count_or_none(details.get("rss", details.get("anon"))),
        "cache": count_or_none(details.get("cache", details.get("file"))),
        "swap": count_or_none(details.get("swap")),
        "mapped_file": count_or_none(details.get("mapped_file", details.get("file_mapped"))),
        "limit": values.limit_or_none(stats.get("limit")),
    }
    inactive_file = ("total_inactive_file", "inactive_file")  # cgroup v1, descendants included; cgroup v2
    return values.make_memory(found, *(count_or_none(details.get(name)) for name in inactive_file))


def _windows_memory(stats: dict[str, Any]) -> Memory | None:
    memory: Memory = {}
    if (usage := count_or_none(stats.get("commitbytes"))) is not None:
        memory["usage"] = usage
    if (peak := count_or_none(stats.get("commitpeakbytes"))) is not None:
        memory["max_usage"] = peak
    if (working := count_or_none(stats.get("privateworkingset"))) is not None:
        memory["rss"] = memory["used"] = working  # `docker stats` shows the private working set
    return values.with_measured(memory)


def _network(document: dict[str, Any]) -> Network | None:
    interfaces = _part(document, "networks")
    # Podman 4 shows one invented interface, even for a container without network or with the host's. Only its bytes
    # are measured.
    invented = interfaces.keys() == {"network"} and _is_podman(document)
    network: dict[str, int] = {}
    for field in _NETWORK_FIELDS[:2] if invented else _NETWORK_FIELDS:
        total = _sum_over_interfaces(interfaces.values(), field)
        if total is not None:
            network[field] = total
    if invented and not any(network.values()):
        return None
    return cast(Network, network) if network else None


def _sum_over_interfaces(interfaces: Collection[object], field: str) -> int | None:
    """Return the sum of a field over all interfaces, None if one of them lacks it: the sum would be wrong."""
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
        # Whole words, not first letters as `docker stats` takes them: Podman lists rios and wios, counts of operations,
        # among the bytes.
        operation = operation.lower() if isinstance(operation, str) else ""
        if operation in ("read", "write"):
            total, value = totals.get(operation, 0), count_or_none(entry.get("value"))
            totals[operation] = None if total is None or value is None else total + value
    storage = _part(document, "storage_stats")  # Windows
    read = count_or_none(totals.get("read", storage.get("read_size_bytes")))
    write = count_or_none(totals.get("write", storage.get("write_size_bytes")))
    return values.make_block_io(read, write)


def _pids(stats: dict[str, Any]) -> Pids | None:
    return values.make_pids(count_or_none(stats.get("current")), values.limit_or_none(stats.get("limit")))
