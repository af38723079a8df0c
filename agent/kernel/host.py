"""What the kernel tells of the whole machine, that belongs into a container's reading."""

import time
from contextlib import closing
from pathlib import Path

from agent.kernel.files import KernelFiles
from agent.runtime.limits import DescriptorBudget


def core_mhz() -> float | None:
    """The clock rate of one CPU in MHz, the mean of all; None where the kernel does not tell (many virtual machines).

    The highest rate a CPU can run at, as Nomad takes it, else the rate that /proc/cpuinfo shows.
    """
    highest = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    rates = [_number(_read(path)) / 1000 for path in highest]
    if not any(rates):
        lines = _read(Path("/proc/cpuinfo")).splitlines()
        rates = [_number(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    known = [rate for rate in rates if rate > 0]
    return sum(known) / len(known) if known else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # hidden from us: a sandbox shows hardly anything of /proc
        return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


TICK_NS = 10_000_000  # ns: the kernel counts CPU time for users in hundredths of a second, on every architecture


class Host:
    """The machine, as the process file system at `proc` shows it; from any thread. Raises KernelUnreadableError."""

    def __init__(self, proc: str, descriptors: DescriptorBudget) -> None:
        with closing(KernelFiles(descriptors)) as files:
            self._memory = _total(files.open(f"{proc}/meminfo").read())
        self._stat = KernelFiles(descriptors).open(f"{proc}/stat")  # for as long as the agent runs
        self._read_at = 0
        self._cpu_time = 0
        self.online = 1
        self.cpu_time()

    def cpu_time(self) -> int:
        """Return the CPU time of all CPUs that are online, idle time included, in ns; as old as a tick at most.

        Like the engine, without what was stolen: user, nice, system, idle, iowait, irq, softirq.
        """
        now = time.monotonic_ns()
        # The kernel makes up the whole file for its first line, and containers are read one shortly after the other.
        if now - self._read_at >= TICK_NS:
            content = self._stat.read()
            self.online = content.count(b"\ncpu") or 1
            self._cpu_time = sum(map(int, content.split(None, 8)[1:8])) * TICK_NS
            self._read_at = now
        return self._cpu_time

    def memory_limit(self, limit: int | None) -> int | None:
        """Return a container's limit: the host's memory where it has none, or a larger one."""
        return min(limit or self._memory, self._memory) or None


def _total(meminfo: bytes) -> int:
    """Return the machine's memory in bytes, 0 where it is not told."""
    words = meminfo.partition(b"MemTotal:")[2].split(None, 1)
    return int(words[0]) * 1024 if words else 0
