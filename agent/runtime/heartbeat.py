"""Whether the agent is well: the promises of its threads, what systemd is told, and the heartbeat file."""

import errno
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson

log = logging.getLogger(__name__)

WRITE_INTERVAL_SECONDS = 10.0  # seconds between two signs of life; more often would wear out the card of a Pi

MAX_AGE_SECONDS = 30.0  # seconds after which they are missed; a loaded Pi may stall for some


class HeartbeatFile:
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
        if said == troubles and _boot_clock() < written + WRITE_INTERVAL_SECONDS:
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
            if not 0 <= age <= MAX_AGE_SECONDS:
                return [f"the agent has shown no sign of life for {age:.0f} s; is it still running?"]
            return [str(trouble) for trouble in troubles]
        return [f"no running agent found: no {self._name} in {', '.join(map(str, self._directories))}"]


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
