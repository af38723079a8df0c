"""One run of a container, as the kernel shows it. So its end can be noticed while no engine can be asked."""

import os


class ContainerRun:
    """The first process and the cgroup of a run. No file stays open, so this works after the readings have failed.

    A file that is not there may only be hidden. So a run counts as over only if its first process has ended, and its
    cgroup is empty or gone, and the mounts of /proc and of the cgroups are still the same. One sign is not enough:
    systemd may have moved the processes to another cgroup, or a new mount of /proc may hide other users' processes.

    Args:
        proc: where the process file system is mounted.
        pid: the container's first process.
        mount: where the cgroups are mounted; of version 1, those of one controller, if possible of pids.
        cgroup: the container's cgroup, a path that begins with a slash and is relative to `mount`.

    Raises:
        OSError, ValueError, IndexError: the process or the cgroup is not there, or cannot be read.
    """

    __slots__ = ("_cgroup", "_mount", "_mounted", "_proc", "_process", "_started")

    def __init__(self, proc: str, pid: int, mount: str, cgroup: str) -> None:
        self._proc = proc
        self._process = f"{proc}/{pid}/stat"
        self._mount = mount
        self._cgroup = f"{mount}{cgroup}"
        os.stat(self._cgroup)  # noqa: PTH116 - pathlib doubles the memory of a small agent
        self._mounted = self._identify_mounts()
        self._started = _start_time(self._process)

    def has_processes(self) -> bool | None:
        """Return whether the container has processes: of this run, or of a later one, whose cgroup has the same name.

        Returns:
            True if there are processes. False only if this run is over, and there is no later one. None if that cannot
            be known now.
        """
        try:
            is_cgroup_used = self._is_cgroup_used()
            has_ended = self._has_first_process_ended()
            if self._identify_mounts() != self._mounted:  # checked last, to notice a mount that was made meanwhile
                return None
        except (OSError, ValueError, IndexError):
            return None
        return is_cgroup_used or (False if has_ended else None)

    def _is_cgroup_used(self) -> bool:
        try:
            # Not cgroup.procs: with version 1 it lacks the processes that are not in the reader's PID namespace.
            return int(_read(f"{self._cgroup}/pids.current")) > 0
        except FileNotFoundError:
            try:
                os.stat(self._cgroup)  # noqa: PTH116
            except FileNotFoundError:
                return False
            raise  # there is a cgroup, and the kernel does not count its processes

    def _has_first_process_ended(self) -> bool:
        try:
            return _start_time(self._process) != self._started  # another process may have got its number
        except (FileNotFoundError, ProcessLookupError):
            return True

    def _identify_mounts(self) -> list[tuple[int, int]]:
        found = map(os.stat, (self._proc, self._mount))
        return [(status.st_dev, status.st_ino) for status in found]


def _start_time(path: str) -> bytes:
    """Return when a process was started, ticks since the boot: field 22 of /proc/PID/stat (proc(5))."""
    return _read(path).rpartition(b")")[2].split()[19]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()
