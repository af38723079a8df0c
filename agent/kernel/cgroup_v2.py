"""One container's cgroup of version 2, read as the engine reads it."""

import re

from agent.kernel.files import KernelFiles, read_number, read_table
from agent.kernel.host import Host
from agent.messages.payloads import BlockIo, Memory, Pids
from agent.metrics import values
from agent.metrics.reading import CpuReading

_TIMES = (b"usage_usec", b"system_usec", b"user_usec", b"nr_throttled", b"throttled_usec")
_DETAILS = (b"anon", b"file", b"file_mapped", b"inactive_file")  # of some fifty
_DEVICE = re.compile(rb" rbytes=(\d+) wbytes=(\d+)")
_US = 1000  # ns


class CgroupV2:
    """The files of a cgroup whose directory is `path`."""

    def __init__(self, files: KernelFiles, host: Host, path: str) -> None:
        self._host = host
        self._cpu = files.open(f"{path}/cpu.stat")
        self._usage = files.find(f"{path}/memory.current")
        self._memory = files.find(f"{path}/memory.stat")
        self._peak = files.find(f"{path}/memory.peak")  # since Linux 5.19
        self._swap = files.find(f"{path}/memory.swap.current")
        self._limit = files.find(f"{path}/memory.max")
        self._io = files.find(f"{path}/io.stat")
        self._pids = files.find(f"{path}/pids.current")
        self._most_pids = files.find(f"{path}/pids.max")

    def cpu(self) -> CpuReading:
        """Return the CPU time; without throttling where the CPU controller is off."""
        cpu = read_table(self._cpu, *_TIMES)
        throttled = cpu.get(b"throttled_usec")
        return CpuReading(
            total=cpu[b"usage_usec"] * _US,
            kernel=cpu[b"system_usec"] * _US,
            user=cpu[b"user_usec"] * _US,
            system=self._host.cpu_time(),
            online=self._host.online,
            throttled_periods=cpu.get(b"nr_throttled"),
            throttled_time=None if throttled is None else throttled * _US,
        )

    def memory(self) -> Memory | None:
        """Return the memory; the engine does not tell of the peak and of swap."""
        usage = read_number(self._usage)
        if not usage:
            return None
        details = read_table(self._memory, *_DETAILS)
        found = {
            "usage": usage,
            "max_usage": read_number(self._peak),
            "rss": details.get(b"anon"),
            "cache": details.get(b"file"),
            "swap": read_number(self._swap),
            "mapped_file": details.get(b"file_mapped"),
            "limit": self._host.memory_limit(read_number(self._limit)),
        }
        return values.make_memory(found, details.get(b"inactive_file"))

    def block_io(self) -> BlockIo | None:
        """Return what was read from and written to all devices."""
        devices = _DEVICE.findall(self._io.read()) if self._io else ()
        if not devices:
            return None
        return values.make_block_io(sum(int(read) for read, _ in devices), sum(int(write) for _, write in devices))

    def pids(self) -> Pids | None:
        """Return the processes and threads."""
        return values.make_pids(read_number(self._pids), values.limit_or_none(read_number(self._most_pids)))
