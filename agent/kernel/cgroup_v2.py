"""One container's cgroup of version 2.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, chapter "Controllers". The files are those that runc reads
for an engine; memory.peak and memory.swap.current are read in addition, as engines do not report the peak and swap.
What is computed from their numbers is in agent/metrics/values.py.
"""

import re

from agent.kernel.cgroup import MemoryFiles, MemoryNames, PidsFiles
from agent.kernel.files import KernelFiles, read_flat_keyed
from agent.kernel.host import Host
from agent.messages.payloads import BlockIo, Memory, Pids
from agent.metrics.reading import CpuReading
from agent.metrics.values import make_block_io

_MEMORY = MemoryNames(
    usage="memory.current",
    max_usage="memory.peak",  # since Linux 5.19
    limit="memory.max",
    swap_file="memory.swap.current",
    rss=b"anon",
    cache=b"file",
    mapped_file=b"file_mapped",
    inactive_file=(b"inactive_file",),
)
_CPU_KEYS = (b"usage_usec", b"system_usec", b"user_usec", b"nr_throttled", b"throttled_usec")
_DEVICE_BYTES = re.compile(rb" rbytes=(\d+) wbytes=(\d+)")
_NS_PER_US = 1000


class CgroupV2:
    """The files of a cgroup whose directory is `path`. Raises KernelUnreadableError if a file cannot be opened."""

    def __init__(self, files: KernelFiles, host: Host, path: str) -> None:
        self._host = host
        self._cpu = files.open(f"{path}/cpu.stat")
        quota = files.read_once(f"{path}/cpu.max")  # "max 100000" or "20000 100000"
        self.cpu_limited = quota is not None and not quota.startswith(b"max")
        self._memory = MemoryFiles(files, host, path, _MEMORY)
        self._io = files.open_if_present(f"{path}/io.stat")
        self._pids = PidsFiles(files, path)

    def cpu(self) -> CpuReading:
        """Return the CPU time, with that of the host; without throttling if the CPU controller is off."""
        stat = read_flat_keyed(self._cpu, *_CPU_KEYS)
        throttled = stat.get(b"throttled_usec")
        return CpuReading(
            total=stat[b"usage_usec"] * _NS_PER_US,
            kernel=stat[b"system_usec"] * _NS_PER_US,
            user=stat[b"user_usec"] * _NS_PER_US,
            host_total=self._host.cpu_time(),
            online=self._host.online,
            throttled_periods=stat.get(b"nr_throttled"),
            throttled_time=None if throttled is None else throttled * _NS_PER_US,
        )

    def memory(self) -> Memory | None:
        """Return the memory; None if the kernel does not account it."""
        return self._memory.read()

    def block_io(self) -> BlockIo | None:
        """Return the bytes read from and written to all devices; None if no device is listed."""
        devices = _DEVICE_BYTES.findall(self._io.read()) if self._io else ()
        if not devices:
            return None
        return make_block_io(sum(int(read) for read, _ in devices), sum(int(written) for _, written in devices))

    def pids(self) -> Pids | None:
        """Return the number of processes and threads, and its limit; None if the kernel does not count them."""
        return self._pids.read()

    @property
    def memory_limited(self) -> bool:
        """Whether the container has a memory limit of its own."""
        return self._memory.limited
