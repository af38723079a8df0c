"""Values of the whole host that belong to a container's reading: CPU time, online CPUs, memory, clock rate."""

import time
from contextlib import closing
from pathlib import Path

from agent.kernel.files import KernelFiles
from agent.runtime.limits import DescriptorBudget

# CPU times in /proc are in units of 1/USER_HZ (proc(5), /proc/stat), and USER_HZ is 100 on every architecture.
TICK_NS = 10_000_000


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
    """The host as the process file system at `proc` shows it. Thread-safe.

    Raises:
        KernelUnreadableError: a file of `proc` cannot be read.
    """

    def __init__(self, proc: str, descriptors: DescriptorBudget) -> None:
        with closing(KernelFiles(descriptors)) as files:
            self._memory_bytes = _memory_total(files.open(f"{proc}/meminfo").read())
        self._stat = KernelFiles(descriptors).open(f"{proc}/stat")  # stays open as long as the agent runs
        # Written by every thread that reads a container. No lock: at worst two threads read the file one after the
        # other, and each value is a complete one of some recent moment.
        self._read_at_ns = 0
        self._cpu_time_ns = 0
        self.online = 1
        self.cpu_time()

    def cpu_time(self) -> int:
        """Return the CPU time of all online CPUs, idle time included, ns; at most one tick old.

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

    def effective_memory_limit(self, limit: int | None) -> int | None:
        """Return a container's memory limit, bytes: the host's memory if the container has no limit or a larger one."""
        return min(limit or self._memory_bytes, self._memory_bytes) or None


def _memory_total(meminfo: bytes) -> int:
    """Return the host's memory in bytes, 0 if /proc/meminfo does not have it."""
    words = meminfo.partition(b"MemTotal:")[2].split(None, 1)
    return int(words[0]) * 1024 if words else 0
