"""What both versions of cgroups have in common: the protocol, and the readers of memory and pids.

Memory and pids differ by the names of files and keys only, so one reader serves both versions. CPU time and block I/O
differ in units and structure: cgroup_v1.py and cgroup_v2.py read them.
"""

from dataclasses import dataclass
from typing import Protocol

from agent.kernel.files import KernelFile, KernelFiles, read_flat_keyed, read_number
from agent.kernel.host import Host
from agent.messages.payloads import BlockIo, Memory, Pids
from agent.metrics.reading import CpuReading
from agent.metrics.values import limit_or_none, make_memory, make_pids


class Cgroup(Protocol):
    """The cgroup of one container, read as an engine reads it.

    Every method raises ContainerNotRunningError if the cgroup is gone, KernelUnreadableError for other failures.
    """

    def cpu(self) -> CpuReading:
        """Return the CPU time, with that of the host."""
        ...

    def memory(self) -> Memory | None:
        """Return the memory; None if the kernel does not account it."""
        ...

    def block_io(self) -> BlockIo | None:
        """Return the bytes read from and written to all devices; None if no device is listed."""
        ...

    def pids(self) -> Pids | None:
        """Return the number of processes and threads, and its limit; None if the kernel does not count them."""
        ...

    @property
    def cpu_limited(self) -> bool:
        """Whether the container had a CPU quota when the files were opened: only then can it be throttled."""
        ...

    @property
    def memory_limited(self) -> bool:
        """Whether the container has a memory limit of its own; the limit of a reading may be the host's memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNames:
    """Names of the memory controller's files in one cgroup version, and of the keys in its memory.stat.

    Attributes:
        usage, max_usage, limit: files with one number each.
        swap_file: file with the swap in use; None if memory.stat has it instead.
        swap_key: key of memory.stat with the swap in use; None if there is a file instead.
        rss, cache, mapped_file: keys of memory.stat.
        inactive_file: keys of memory.stat with the page cache to subtract from the usage, the best one first.
    """

    usage: str
    max_usage: str
    limit: str
    swap_file: str | None = None
    swap_key: bytes | None = None
    rss: bytes
    cache: bytes
    mapped_file: bytes
    inactive_file: tuple[bytes, ...]


class MemoryFiles:
    """The files of the memory controller. With None as `directory` there is no such cgroup: nothing is measured."""

    def __init__(self, files: KernelFiles, host: Host, directory: str | None, names: MemoryNames) -> None:
        self._host = host
        self._names = names
        self._usage = _open_in(files, directory, names.usage)
        self._max_usage = _open_in(files, directory, names.max_usage)
        self._limit = _open_in(files, directory, names.limit)
        self._swap = _open_in(files, directory, names.swap_file)
        self._stat = _open_in(files, directory, "memory.stat")
        swap = (names.swap_key,) if names.swap_key else ()
        # The few keys that are needed, of the 40 to 50 in memory.stat.
        self._keys = (names.rss, names.cache, *swap, names.mapped_file, *names.inactive_file)

    def read(self) -> Memory | None:
        """Return the memory, None if the kernel does not account it."""
        usage = read_number(self._usage)
        if not usage:
            return None
        names = self._names
        stat = read_flat_keyed(self._stat, *self._keys)
        found = {
            "usage": usage,
            "max_usage": read_number(self._max_usage),
            "rss": stat.get(names.rss),
            "cache": stat.get(names.cache),
            "swap": stat.get(names.swap_key) if names.swap_key else read_number(self._swap),
            "mapped_file": stat.get(names.mapped_file),
            "limit": self._host.effective_memory_limit(read_number(self._limit)),
        }
        return make_memory(found, *map(stat.get, names.inactive_file))

    @property
    def limited(self) -> bool:
        """Whether there is a limit below the host's memory."""
        return self._host.limits_memory(read_number(self._limit))


class PidsFiles:
    """The files of the pids controller, alike in both versions. With None as `directory` nothing is measured."""

    def __init__(self, files: KernelFiles, directory: str | None) -> None:
        self._current = _open_in(files, directory, "pids.current")
        self._limit = _open_in(files, directory, "pids.max")

    def read(self) -> Pids | None:
        """Return the number of processes and threads, and its limit; None if the kernel does not count them."""
        return make_pids(read_number(self._current), limit_or_none(read_number(self._limit)))


def _open_in(files: KernelFiles, directory: str | None, name: str | None) -> KernelFile | None:
    return files.open_if_present(f"{directory}/{name}") if directory and name else None
