"""Whether the agent is well: the promises of its threads, what systemd is told, and the heartbeat file."""

import errno
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson

from agent.payloads import ProcessFigures

log = logging.getLogger(__name__)

MARGIN = 10.0  # seconds a thread may be late on a loaded machine before it counts as hanging
HEARTBEAT = 10.0  # seconds between two signs of life; more often would wear out the card of a Pi
HEARTBEAT_AGE = 30.0  # seconds after which they are missed; a loaded Pi may stall for some


class Pulse:
    """The promises of the agent's threads to show up again in time.

    Before a thread does what may block it promises how long that can take at most. A promise that is overdue is a
    thread that hangs, and the watchdog is no longer fed: a restart is better than a silent agent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}

    def promise(self, name: str, within: float) -> None:
        """`name` will show up again within so many seconds."""
        due = time.monotonic() + within
        with self._lock:
            self._due[name] = due

    def done(self, name: str) -> None:
        """`name` has ended as it should."""
        with self._lock:
            self._due.pop(name, None)

    def overdue(self) -> list[str]:
        """Who has not shown up in time."""
        now = time.monotonic()
        with self._lock:
            return sorted(name for name, due in self._due.items() if due < now)


class Systemd:
    """Tells systemd how the service is doing (sd_notify); does nothing where systemd did not ask for it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        # Three times as often as systemd asks for; without a watchdog, as often as people look at a status.
        self.interval = int(environment.get("WATCHDOG_USEC") or 30_000_000) / 3e6
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def notify(self, *assignments: str) -> None:
        """Send assignments such as READY=1. One datagram, never blocking: systemd reads when it can."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto("\n".join(assignments).encode(), self._address)
            except OSError:  # a full queue or a vanished systemd must not stop the agent
                return


class Heartbeat:
    """A small file that says that the agent lives and what ails it, for `usage-agent health`.

    It lies in the runtime directory that systemd or the session gives, else in the directory for temporary files. Times
    in it are of the boot clock, which a change of date does not touch and which all processes share.
    """

    def __init__(self, host: str, environment: Mapping[str, str]) -> None:
        self._name = f"usage-agent-{host.replace('/', '_')}.heartbeat"
        self._directories = _runtime_directories(environment)
        self._written: tuple[float, list[str]] = (float("-inf"), [])
        self._complained = False

    def write(self, troubles: list[str]) -> None:
        """Say that the agent lives, and its troubles; and in the log, once, where that cannot be written down."""
        written, said = self._written
        if said == troubles and _boot_clock() < written + HEARTBEAT:
            return
        self._written = _boot_clock(), troubles
        document = orjson.dumps({"pid": os.getpid(), "time": _boot_clock(), "troubles": troubles})
        reasons = []
        for directory in self._directories:
            try:
                _replace(directory / self._name, document)
            except OSError as error:
                reasons.append(f"{directory}: {error.strerror}")
                _discard(directory / self._name)  # nobody is to read there what held before
            else:
                self._complained = False
                return
        if not self._complained:
            self._complained = True
            why = "; ".join(reasons)
            log.warning("the heartbeat cannot be written (%s): `usage-agent health` will not find this agent", why)

    def remove(self) -> None:
        """The agent has ended as it was asked to."""
        for directory in self._directories:
            _discard(directory / self._name)

    def read(self) -> list[str]:
        """What ails the agent; empty when it is well."""
        for directory in self._directories:
            try:
                document = orjson.loads((directory / self._name).read_bytes())
                age, troubles = _boot_clock() - document["time"], document["troubles"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if not 0 <= age <= HEARTBEAT_AGE:
                return [f"the agent has shown no sign of life for {age:.0f} s; is it still running?"]
            return [str(trouble) for trouble in troubles]
        return [f"no running agent found: no {self._name} in {', '.join(map(str, self._directories))}"]


def process_figures() -> ProcessFigures:
    """The agent's own process, as far as /proc shows it."""
    times = os.times()
    figures: ProcessFigures = {
        "cpu_seconds": round(times.user + times.system, 3),
        "threads": threading.active_count(),
    }
    with suppress(OSError):
        figures["rss"] = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        figures["fds"] = _descriptors(Path("/proc/self/fd"))
    return figures


def _descriptors(directory: Path) -> int:
    # From Linux 6.2 on it says so itself; listing them opens one more, and a thousand take two milliseconds.
    return directory.stat().st_size or sum(1 for _ in directory.iterdir()) - 1


def _runtime_directories(environment: Mapping[str, str]) -> list[Path]:
    given = (environment.get("RUNTIME_DIRECTORY"), "/run/usage-agent", environment.get("XDG_RUNTIME_DIR"))
    temporary = Path(environment.get("TMPDIR") or tempfile.gettempdir())
    candidates = [Path(directory.partition(":")[0]) for directory in given if directory]
    return [directory for directory in candidates if directory.is_dir()] + [temporary]


def _replace(path: Path, content: bytes) -> None:
    """Write a whole file or none, following nobody's symbolic link: the directory may be everybody's."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        whole = os.write(descriptor, content) == len(content)
    except OSError:
        _discard(new)
        raise
    finally:
        os.close(descriptor)
    if not whole:
        _discard(new)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    new.replace(path)


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _boot_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
