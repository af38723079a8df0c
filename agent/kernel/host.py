"""Values of the whole host that belong to a container's reading: CPU time, online CPUs, memory, clock rate."""

import time
from math import inf
from pathlib import Path

from agent.kernel.files import KernelFiles, translate_parse_errors
from agent.runtime.limits import DescriptorBudget

# CPU times in /proc are in units of 1/USER_HZ (proc(5), /proc/stat), and USER_HZ is 100 on every architecture.
TICK_NS = 10_000_000

MEMORY_MAX_AGE_SECONDS = 60.0  # the memory of a virtual machine may change while it runs


def core_mhz() -> float | None:
    """Return the mean clock rate of this host's CPUs, MHz; None if the kernel does not show it (many virtual machines).

    The highest rate at which each CPU can run, as Nomad takes it, else the rate in /proc/cpuinfo.
    """
    max_freq_khz = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    rates = [_number(_read(path)) / 1000 for path in max_freq_khz]
    if not any(rates):
        lines = _read(Path("/proc/cpuinfo")).splitlines()
        rates = [_number(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    known = [rate for rate in rates if rate > 0]
    return sum(known) / len(known) if known else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # hidden from the agent: a sandbox shows hardly anything of /proc
        return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


class Host:
    """The host as the process file system at `proc` shows it. Thread-safe. Its two files stay open.

    Raises:
        KernelUnreadableError: a file of `proc` cannot be read or understood; no file stays open.
    """

    def __init__(
        self, proc: str, descriptors: DescriptorBudget, memory_max_age: float = MEMORY_MAX_AGE_SECONDS
    ) -> None:
        # Written by every thread that reads a container, without a lock: at worst two threads read a file one after the
        # other. Each value is one that the file had a moment ago.
        self._read_at_ns = 0
        self._cpu_time_ns = 0
        self._memory_read_at = -inf
        self._memory_max_age = memory_max_age
        self._memory_bytes = 0
        self.online = 1
        files = KernelFiles(descriptors)
        try:
            with translate_parse_errors(f"{proc}/meminfo or {proc}/stat"):
                self._meminfo = files.open(f"{proc}/meminfo")
                self._stat = files.open(f"{proc}/stat")
                self.memory()
                self.cpu_time()
        except BaseException:
            files.close()
            raise

    def cpu_time(self) -> int:
        """Return the CPU time of all online CPUs, idle time included, ns; at most one tick (10 ms) old.

        As engines count it, without stolen time: the first seven columns of /proc/stat, which are user, nice, system,
        idle, iowait, irq and softirq (proc(5)).
        """
        now = time.monotonic_ns()
        # The kernel builds the whole file for its first line, and containers are read shortly after one another.
        if now - self._read_at_ns >= TICK_NS:
            content = self._stat.read()
            self.online = content.count(b"\ncpu") or 1
            self._cpu_time_ns = sum(map(int, content.split(None, 8)[1:8])) * TICK_NS
            self._read_at_ns = now
        return self._cpu_time_ns

    def memory(self) -> int:
        """Return the host's memory, bytes, at most a minute old; 0 if /proc/meminfo does not have it."""
        now = time.monotonic()
        if now - self._memory_read_at >= self._memory_max_age:
            self._memory_bytes = _memory_total(self._meminfo.read())
            self._memory_read_at = now
        return self._memory_bytes

    def limits_memory(self, limit: int | None) -> bool:
        """Return whether a container's memory limit, bytes, is below the host's memory; a higher one limits nothing.

        For a container without a limit the kernel shows a huge number, or none (None).
        """
        return limit is not None and limit < self.memory()

    def effective_memory_limit(self, limit: int | None) -> int | None:
        """Return the memory that a container can use, bytes: `limit`, or the host's memory if that is less.

        Args:
            limit: the container's memory limit, bytes; None if it has none.

        Returns:
            The smaller of both; None if the host's memory is not known.
        """
        memory = self.memory()
        return min(limit or memory, memory) or None


def _memory_total(meminfo: bytes) -> int:
    """Return the host's memory in bytes, 0 if /proc/meminfo does not have it."""
    words = meminfo.partition(b"MemTotal:")[2].split(None, 1)
    return int(words[0]) * 1024 if words else 0
