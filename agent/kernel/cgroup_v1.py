"""One container's cgroups of version 1, one per controller.

Sources: the kernel's Documentation/admin-guide/cgroup-v1/ (cpuacct.rst, memory.rst, blkio-controller.rst, pids.rst) and
Documentation/scheduler/sched-bwc.rst. The files are those that runc reads for an engine; what is computed from their
numbers is in agent/metrics/values.py.
"""

import re
from collections.abc import Mapping

from agent.kernel.cgroup import MemoryFiles, MemoryNames, PidsFiles
from agent.kernel.files import KernelFile, KernelFiles, KernelUnreadableError, read_flat_keyed, read_number
from agent.kernel.host import TICK_NS, Host
from agent.messages.payloads import BlockIo, Memory, Pids
from agent.metrics.reading import CpuReading
from agent.metrics.values import make_block_io

CONTROLLERS = ("cpuacct", "cpu", "memory", "blkio", "pids")

# Engines do not report swap here; the kernel has it only with swap accounting (memory.rst, 5.2).
_MEMORY = MemoryNames(
    usage="memory.usage_in_bytes",
    max_usage="memory.max_usage_in_bytes",
    limit="memory.limit_in_bytes",
    rss=b"rss",
    cache=b"cache",
    swap_key=b"swap",
    mapped_file=b"mapped_file",
    inactive_file=(b"total_inactive_file", b"inactive_file"),
)
_DEVICE_BYTES = re.compile(rb"\d (Read|Write) (\d+)")  # "8:0 Read 1234"


class CgroupV1:
    """The files of a container whose cgroups are the directories in `paths`, by controller.

    Raises KernelUnreadableError if a file that is needed cannot be opened, or the container has no cgroup for cpuacct.
    """

    def __init__(self, files: KernelFiles, host: Host, paths: Mapping[str, str]) -> None:
        self._host = host
        if "cpuacct" not in paths:
            raise KernelUnreadableError(
                "the container has no cgroup of its own for cpuacct: its CPU time is not counted"
            )

        def open_in(controller: str, name: str) -> KernelFile | None:
            return files.open_if_present(f"{paths[controller]}/{name}") if controller in paths else None

        self._total = files.open(f"{paths['cpuacct']}/cpuacct.usage")
        self._modes = open_in("cpuacct", "cpuacct.stat")
        self._throttling = open_in("cpu", "cpu.stat")
        quota = files.read_once(f"{paths['cpu']}/cpu.cfs_quota_us") if "cpu" in paths else None
        self.cpu_limited = quota is not None and int(quota) > 0  # -1 is no quota
        # The CFQ scheduler, gone since Linux 5.0, counts by itself. Engines prefer its file where it lists a device.
        self._cfq_bytes = open_in("blkio", "blkio.io_service_bytes_recursive")
        self._throttle_bytes = open_in("blkio", "blkio.throttle.io_service_bytes")
        self._memory = MemoryFiles(files, host, paths.get("memory"), _MEMORY)
        self._pids = PidsFiles(files, paths.get("pids"))

    def cpu(self) -> CpuReading:
        """Return the CPU time, with that of the host."""
        total = read_number(self._total) or 0
        modes = read_flat_keyed(self._modes, b"system", b"user")
        throttling = read_flat_keyed(self._throttling, b"nr_throttled", b"throttled_time")
        return CpuReading(
            total=total,
            kernel=modes[b"system"] * TICK_NS if modes else None,
            user=modes[b"user"] * TICK_NS if modes else None,
            host_total=self._host.cpu_time(),
            online=self._host.online,
            throttled_periods=throttling.get(b"nr_throttled"),
            throttled_time=throttling.get(b"throttled_time"),
        )

    def memory(self) -> Memory | None:
        """Return the memory; None if the kernel does not account it."""
        return self._memory.read()

    def block_io(self) -> BlockIo | None:
        """Return the bytes read from and written to all devices; None if no device is listed."""
        for file in (self._cfq_bytes, self._throttle_bytes):
            devices = _DEVICE_BYTES.findall(file.read()) if file else ()
            if devices:
                totals = {operation: 0 for operation, _ in devices}
                for operation, count in devices:
                    totals[operation] += int(count)
                return make_block_io(totals.get(b"Read"), totals.get(b"Write"))
        return None

    def pids(self) -> Pids | None:
        """Return the number of processes and threads, and its limit; None if the kernel does not count them."""
        return self._pids.read()

    @property
    def memory_limited(self) -> bool:
        """Whether the container has a memory limit of its own."""
        return self._memory.limited
