"""What the whole machine uses, for the agent's counters: CPU, memory, load and uptime (proc(5)).

The files are read once an interval of the agent, and not kept open.
"""

from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import NamedTuple, TypeVar

from agent.kernel.files import PROC_DIRECTORIES, first_directory
from agent.messages.counters import MachineMetrics

# The columns of the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. The columns of
# guests follow, which user and nice include.
_IDLE, _IOWAIT = 3, 4
_COLUMNS = 8

T = TypeVar("T")


class CpuTimes(NamedTuple):
    """CPU time since the boot, summed over all CPUs, in ticks. Waiting for I/O counts as idle."""

    idle: int
    total: int


class Machine:
    """The machine, as /proc shows it. For one thread.

    The first CPU share covers the time since this object was made, each later one the time since the last `read`.

    Args:
        proc: where the process file system is mounted; None for the first of PROC_DIRECTORIES that exists.
    """

    def __init__(self, proc: str | None = None) -> None:
        self._proc = Path(proc or first_directory(*PROC_DIRECTORIES))
        self._cpu_times = self._parse("stat", parse_cpu_times)

    def read(self) -> MachineMetrics:
        """Return the values of now. What cannot be read, or makes no sense, is left out."""
        before, self._cpu_times = self._cpu_times, self._parse("stat", parse_cpu_times)
        metrics: MachineMetrics = {}
        if before and self._cpu_times and (percent := cpu_percent(before, self._cpu_times)) is not None:
            metrics["cpu_percent"] = percent
        metrics |= self._parse("meminfo", parse_memory) or {}
        if (load := self._parse("loadavg", parse_first_number)) is not None:
            metrics["load_1m"] = load
        if (uptime := self._parse("uptime", parse_first_number)) is not None:
            metrics["uptime"] = uptime
        return metrics

    def _parse(self, name: str, parse: Callable[[bytes], T]) -> T | None:
        with suppress(OSError, ValueError, IndexError):  # hidden from the agent, or in another format
            return parse((self._proc / name).read_bytes())
        return None


def parse_cpu_times(content: bytes) -> CpuTimes:
    """Read /proc/stat. Raises ValueError or IndexError."""
    times = [int(word) for word in content.partition(b"\n")[0].split()[1 : 1 + _COLUMNS]]
    return CpuTimes(times[_IDLE] + times[_IOWAIT], sum(times))


def cpu_percent(before: CpuTimes, after: CpuTimes) -> float | None:
    """Return the share of the time between two moments in which the CPUs were not idle, percent with three decimals.

    None if no time has passed, or a counter went back, as iowait may (proc(5)).
    """
    idle, total = after.idle - before.idle, after.total - before.total
    if total <= 0 or not 0 <= idle <= total:
        return None
    return round((total - idle) / total * 100, 3)


def parse_memory(content: bytes) -> MachineMetrics:
    """Read /proc/meminfo. Raises ValueError or IndexError."""
    metrics: MachineMetrics = {}
    total, available = _bytes(content, b"MemTotal:"), _bytes(content, b"MemAvailable:")
    if total:
        metrics["memory_total"] = total
        if available is not None and available <= total:  # kernels before 3.14 do not have it
            metrics["memory_used"] = total - available
    return metrics


def parse_first_number(content: bytes) -> float:
    """Return the first number of /proc/loadavg (no unit) or /proc/uptime (seconds). Raises ValueError or IndexError."""
    number = float(content.split(None, 1)[0])
    if not 0 <= number < inf:
        raise ValueError(f"no load and no time: {number}")
    return number


def _bytes(content: bytes, key: bytes) -> int | None:
    words = content.partition(key)[2].split(None, 1)
    number = int(words[0]) * 1024 if words else -1
    return number if number >= 0 else None
