"""One container's cgroups of version 1, one for each controller, read as the engine reads them."""

import re
from collections.abc import Mapping

from agent.kernel.files import KernelFile, KernelFiles, KernelUnreadableError, read_number, read_table
from agent.kernel.host import TICK_NS, Host
from agent.messages.payloads import BlockIo, Memory, Pids
from agent.metrics import values
from agent.metrics.reading import CpuReading

CONTROLLERS = ("cpuacct", "cpu", "memory", "blkio", "pids")

_DETAILS = (b"rss", b"cache", b"swap", b"mapped_file", b"total_inactive_file", b"inactive_file")  # of some forty
_DEVICE = re.compile(rb"\d (Read|Write) (\d+)")


class CgroupV1:
    """The files of a container whose cgroups' directories are `paths`, by controller."""

    def __init__(self, files: KernelFiles, host: Host, paths: Mapping[str, str]) -> None:
        self._host = host
        if "cpuacct" not in paths:
            raise KernelUnreadableError(
                "the container has no cgroup of its own for cpuacct: its CPU time is not counted"
            )

        def find(controller: str, name: str) -> KernelFile | None:
            return files.find(f"{paths[controller]}/{name}") if controller in paths else None

        self._total = files.open(f"{paths['cpuacct']}/cpuacct.usage")
        self._modes = find("cpuacct", "cpuacct.stat")
        self._throttling = find("cpu", "cpu.stat")
        self._usage = find("memory", "memory.usage_in_bytes")
        self._peak = find("memory", "memory.max_usage_in_bytes")
        self._limit = find("memory", "memory.limit_in_bytes")
        self._memory = find("memory", "memory.stat")
        # Kernels before 5.0 may schedule a disk by CFQ, which keeps books of its own.
        self._scheduled = find("blkio", "blkio.io_service_bytes_recursive")
        self._throttled = find("blkio", "blkio.throttle.io_service_bytes")
        self._pids = find("pids", "pids.current")
        self._most_pids = find("pids", "pids.max")

    def cpu(self) -> CpuReading:
        """Return the CPU time."""
        total = read_number(self._total) or 0
        modes = read_table(self._modes, b"system", b"user")
        throttling = read_table(self._throttling, b"nr_throttled", b"throttled_time")
        return CpuReading(
            total=total,
            kernel=modes[b"system"] * TICK_NS if modes else None,
            user=modes[b"user"] * TICK_NS if modes else None,
            system=self._host.cpu_time(),
            online=self._host.online,
            throttled_periods=throttling.get(b"nr_throttled"),
            throttled_time=throttling.get(b"throttled_time"),
        )

    def memory(self) -> Memory | None:
        """Return the memory; the engine does not tell of swap."""
        usage = read_number(self._usage)
        if not usage:
            return None
        details = read_table(self._memory, *_DETAILS)
        found = {
            "usage": usage,
            "max_usage": read_number(self._peak),
            "rss": details.get(b"rss"),
            "cache": details.get(b"cache"),
            "swap": details.get(b"swap"),
            "mapped_file": details.get(b"mapped_file"),
            "limit": self._host.memory_limit(read_number(self._limit)),
        }
        return values.make_memory(found, details.get(b"total_inactive_file"), details.get(b"inactive_file"))

    def block_io(self) -> BlockIo | None:
        """Return what was read from and written to all devices."""
        for file in (self._scheduled, self._throttled):
            devices = _DEVICE.findall(file.read()) if file else ()
            if devices:
                totals = {operation: 0 for operation, _ in devices}
                for operation, amount in devices:
                    totals[operation] += int(amount)
                return values.make_block_io(totals.get(b"Read"), totals.get(b"Write"))
        return None

    def pids(self) -> Pids | None:
        """Return the processes and threads."""
        return values.make_pids(read_number(self._pids), values.limit_or_none(read_number(self._most_pids)))
