"""What the kernel has counted: CPU time and memory of processes, and the host's CPU time.

A process's own CPU time comes from its CPU clock, to the nanosecond, with all its threads, ended ones too. What its
ended children used is in /proc/PID/stat, in ticks. Over a group of processes the sum of both only grows, whichever of
them come and go, as long as each is waited for by one of the group.
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
    reaped: int

    @classmethod
    def parse(cls, line: str) -> "Stat":
        """Read the line; a command's name may hold spaces and brackets."""
        fields = line.rpartition(")")[2].split()
        return cls(parent=int(fields[1]), reaped=(int(fields[13]) + int(fields[14])) * TICK)


def parse_host(stat: str) -> int:
    """Return the host's busy CPU time (ns) from /proc/stat: all but idle, waiting and stolen time."""
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in stat.split("\n", 1)[0].split()[1:8])
    return (user + nice + system + irq + softirq) * TICK


def parse_memory(status: str, field: str = "VmHWM") -> int:
    """Return a figure of /proc/PID/status in bytes; 0 for a process that has no memory any more."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def descendants(roots: Iterable[int], parents: Mapping[int, int]) -> set[int]:
    """Return the roots and all that descends from them, by each process's parent."""
    family = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def family(*roots: int) -> set[int]:
    """Return the processes there are now that descend from the roots, and these."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(*_GONE):
                parents[int(entry.name)] = Stat.parse((entry / "stat").read_text()).parent
    return descendants(roots, parents)


def cpu(pids: Iterable[int]) -> int:
    """Return the CPU time (ns) that these processes and their ended children have used."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            # The number of another process's CPU clock, as clock_getcpuclockid(3) makes it.
            total += time.clock_gettime_ns((~pid << 3) | 2)
            total += Stat.parse(Path(f"/proc/{pid}/stat").read_text()).reaped
    return total


def host() -> int:
    """Return the host's busy CPU time so far, in ns."""
    return parse_host(Path("/proc/stat").read_text())


def memory(pids: Iterable[int], field: str = "VmHWM") -> int:
    """Return the sum of what these processes have had in memory at most (or have now: `VmRSS`), in bytes."""
    total = 0
    for pid in pids:
        with suppress(*_GONE):
            total += parse_memory(Path(f"/proc/{pid}/status").read_text(), field)
    return total
