"""CPU time and memory of processes, and CPU time of the host, as the kernel counts them (proc(5)).

The CPU time of a process comes from its CPU clock, in ns, and includes all its threads, ended ones too. The CPU time of
its ended children is in /proc/PID/stat, in ticks. For a group of processes the sum of both only grows, even though
processes start and end, as long as a process of the group waits for each that ends.
"""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # ns
_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True, slots=True)
class Stat:
    """The line /proc/PID/stat: the parent, and the CPU time (ns) of children that ended and were waited for."""

    parent: int
    ended_children: int

    @classmethod
    def parse(cls, line: str) -> "Stat":
        """Parse the line; the name of the command may contain spaces and parentheses."""
        fields = line.rpartition(")")[2].split()
        return cls(parent=int(fields[1]), ended_children=(int(fields[13]) + int(fields[14])) * TICK)


def parse_host(stat: str) -> int:
    """Return the host's busy CPU time (ns) from /proc/stat: all but idle time, I/O wait and stolen time."""
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in stat.split("\n", 1)[0].split()[1:8])
    return (user + nice + system + irq + softirq) * TICK


def parse_memory(status: str, field: str = "VmHWM") -> int:
    """Return a field of /proc/PID/status in bytes; 0 for a process that has no memory, such as a kernel thread."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def descendants(roots: Iterable[int], parents: Mapping[int, int]) -> set[int]:
    """Return the roots and all their descendants.

    Args:
        roots: process ids.
        parents: the parent of each process.
    """
    family = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def family(*roots: int) -> set[int]:
    """Return the roots and the processes that descend from them now."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(*_GONE):
                parents[int(entry.name)] = Stat.parse((entry / "stat").read_text()).parent
    return descendants(roots, parents)


def cpu(pids: Iterable[int]) -> int:
    """Return the CPU time of these processes and of their ended children, in ns."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            # The clock id of another process's CPU clock, as clock_getcpuclockid(3) computes it.
            total += time.clock_gettime_ns((~pid << 3) | 2)
            total += Stat.parse(Path(f"/proc/{pid}/stat").read_text()).ended_children
    return total


def host() -> int:
    """Return the host's busy CPU time so far, in ns."""
    return parse_host(Path("/proc/stat").read_text())


def memory(pids: Iterable[int], field: str = "VmHWM") -> int:
    """Return the sum of the peak resident memory of these processes (or, with `VmRSS`, the present one), in bytes."""
    total = 0
    for pid in pids:
        with suppress(*_GONE):
            total += parse_memory(Path(f"/proc/{pid}/status").read_text(), field)
    return total
