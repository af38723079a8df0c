"""Heartbeat files: each running agent writes one of its own, and `usage-agent health` reads all that it finds.

They lie in the runtime directory that systemd or the session provides, else in the directory for temporary files. The
reader needs neither the configuration nor the host's name. Two signs show whether the agent of a file is alive:

- its process holds a lock on the file (flock(2)), which the kernel releases at the instant in which the process ends,
  however it ends;
- its main thread writes the file again and again. Times are of the boot clock (CLOCK_BOOTTIME, clock_gettime(2)): a
  change of date does not affect that clock, and all processes share it.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from agent.runtime.text import escape, shorten

log = logging.getLogger(__name__)

WRITE_INTERVAL_SECONDS = 10.0  # writing more often would wear out the SD card of a Raspberry Pi
MAX_AGE_SECONDS = 30.0  # of a valid heartbeat; a loaded Raspberry Pi may stall for a while
MAX_FILE_BYTES = 1 << 20  # of a file that is read: another program may have written it
MAX_READ_ATTEMPTS = 10  # to read a file that its agent replaces meanwhile
MAX_TROUBLE_CHARACTERS = 1000

PATTERN = "usage-agent-*.heartbeat"


class HeartbeatFile:
    """The heartbeat file of this process. For one thread.

    Args:
        host: the agent's host name, which tells several agents of one machine apart.
        environment: where RUNTIME_DIRECTORY, XDG_RUNTIME_DIR and TMPDIR are looked up.
    """

    def __init__(self, host: str, environment: Mapping[str, str]) -> None:
        self._host = escape(host)  # the name may contain what cannot be encoded
        # The process id alone is not enough: in most containers it is 1, and they may share a directory.
        self._name = PATTERN.replace("*", f"{os.getpid()}-{os.urandom(4).hex()}")
        self._directories = _runtime_directories(environment)
        self._lock: int | None = None  # descriptor of the present file, which holds its lock
        self._written_at = float("-inf")
        self._written_troubles: list[str] | None = None  # None before the first heartbeat
        self._warned = False

    def write(self, troubles: list[str]) -> None:
        """Write that the agent runs, and its troubles, if they have changed or the file gets old.

        If the file cannot be written to any directory, that is logged once, until it can be written again.
        """
        now = _boot_clock()
        if self._written_troubles == troubles and now < self._written_at + WRITE_INTERVAL_SECONDS:
            return
        if self._written_troubles is None:
            self._remove_predecessors()
        self._written_at, self._written_troubles = now, troubles
        reasons = []
        for directory in self._directories:
            try:
                lock = _replace(directory / self._name, self._document(now, troubles))
            except OSError as error:
                reasons.append(f"{directory}: {error.strerror}")
                _discard(directory / self._name)  # the old file there is outdated
            else:
                self._hold(lock)
                self._warned = False
                return
        self._hold(None)
        if not self._warned:
            self._warned = True
            reason = "; ".join(reasons)
            log.warning("the heartbeat cannot be written (%s): `usage-agent health` will not find this agent", reason)

    def remove(self) -> None:
        """Remove the file, because the agent ends as it was asked to."""
        for directory in self._directories:
            _discard(directory / self._name)
        self._hold(None)

    def _document(self, now: float, troubles: list[str]) -> bytes:
        shown = [shorten(trouble, MAX_TROUBLE_CHARACTERS) for trouble in troubles]
        return orjson.dumps({"pid": os.getpid(), "host": self._host, "time": now, "troubles": shown})

    def _hold(self, lock: int | None) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock

    def _remove_predecessors(self) -> None:
        """Remove what agents of this host have left that were killed: this agent takes their place."""
        for heartbeat in _find(self._directories):
            if not heartbeat.alive and heartbeat.host == self._host:
                _discard(heartbeat.path)


class Heartbeat(NamedTuple):
    """What a heartbeat file says.

    Attributes:
        path: the file.
        alive: whether the process that has written it still runs.
        pid: its process id.
        host: its host name.
        age: seconds since it was written.
        troubles: what is wrong with the agent.
    """

    path: Path
    alive: bool
    pid: int
    host: str
    age: float
    troubles: list[str]


def read_health(environment: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the agents of this machine, a line each; empty if they are well.

    Args:
        environment: as for `HeartbeatFile`. The instances of the systemd unit have directories of their own, too.
    """
    directories = [*_runtime_directories(environment), *sorted(Path("/run").glob("usage-agent-*/"))]
    found = list(_find(directories))
    served = {heartbeat.host for heartbeat in found if heartbeat.alive}
    # A killed agent's file does not count if another agent of the same host runs.
    agents = [heartbeat for heartbeat in found if heartbeat.alive or heartbeat.host not in served]
    if not agents:
        places = ", ".join(map(str, directories))
        remedy = "" if os.geteuid() == 0 else "; ask as the user who runs the agent, or as root"
        return [f"no running agent found: no {PATTERN} in {places}{remedy}"]
    lines = []
    for heartbeat in agents:
        prefix = f"host {heartbeat.host}, process {heartbeat.pid}: " if len(agents) > 1 else ""
        lines += [prefix + trouble for trouble in _troubles(heartbeat)]
    return lines


def _troubles(heartbeat: Heartbeat) -> list[str]:
    if not heartbeat.alive:
        return [
            f"the agent does not run any more: it was killed or has crashed; "
            f"start it, or remove {heartbeat.path} if it is not wanted"
        ]
    if not 0 <= heartbeat.age <= MAX_AGE_SECONDS:
        return [f"the agent has shown no sign of life for {heartbeat.age:.0f} s: it hangs or was stopped"]
    return heartbeat.troubles


def _runtime_directories(environment: Mapping[str, str]) -> list[Path]:
    named = (
        environment.get("RUNTIME_DIRECTORY", "").partition(":")[0],
        "/run/usage-agent",
        environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}",
    )
    # Not Path.is_dir(), which raises PermissionError where a service may not look.
    present = [Path(directory) for directory in named if directory and os.path.isdir(directory)]  # noqa: PTH112
    return list(dict.fromkeys([*present, Path(environment.get("TMPDIR") or "/tmp")]))  # noqa: S108


def _find(directories: list[Path]) -> Iterator[Heartbeat]:
    for directory in directories:
        with suppress(OSError):
            for path in sorted(directory.glob(PATTERN)):
                if heartbeat := _read(path):
                    yield heartbeat


def _read(path: Path) -> Heartbeat | None:
    """Return what a file says, or None if it is no heartbeat, cannot be read, or is removed meanwhile."""
    with suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
        for _ in range(MAX_READ_ATTEMPTS):
            # Anybody may put a link, or a pipe that blocks, into a directory for temporary files.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                document = orjson.loads(os.read(descriptor, MAX_FILE_BYTES))
                alive = _is_locked(descriptor)
                if alive or os.path.samestat(os.fstat(descriptor), path.lstat()):
                    age = _boot_clock() - document["time"]
                    troubles = [str(trouble) for trouble in document["troubles"]]
                    return Heartbeat(path, alive, int(document["pid"]), str(document["host"]), age, troubles)
            finally:
                os.close(descriptor)
    return None


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _replace(path: Path, content: bytes) -> int:
    """Write a file as a whole or not at all. Raises OSError.

    The file is locked before it gets its name. So nobody ever sees a file of a living process without its lock.

    Returns:
        The descriptor that holds the lock until it is closed.
    """
    new = path.with_name(f".{path.name}")
    # O_EXCL also refuses symbolic links: the directory may be writable by everybody.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write(descriptor, content)
        new.replace(path)
    except OSError:
        _discard(new)
        os.close(descriptor)
        raise
    return descriptor


def _write(descriptor: int, content: bytes) -> None:
    if os.write(descriptor, content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _boot_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
