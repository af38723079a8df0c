"""The heartbeat file: a running agent writes it, and `usage-agent health` reads it.

It lies in the runtime directory that systemd or the session provides, else in the directory for temporary files. Its
times are of the boot clock (CLOCK_BOOTTIME, clock_gettime(2)): a change of date does not affect that clock, and all
processes share it.
"""

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

WRITE_INTERVAL_SECONDS = 10.0  # writing more often would wear out the SD card of a Raspberry Pi
MAX_AGE_SECONDS = 30.0  # of a valid heartbeat; a loaded Raspberry Pi may stall for a while


class HeartbeatFile:
    """The heartbeat file of one host's agent. For one thread.

    Args:
        host: the agent's host name. It is part of the file's name, because agents of several hosts may share a machine.
        environment: where RUNTIME_DIRECTORY, XDG_RUNTIME_DIR and TMPDIR are looked up.
    """

    def __init__(self, host: str, environment: Mapping[str, str]) -> None:
        self._name = f"usage-agent-{host.replace('/', '_')}.heartbeat"
        self._directories = _runtime_directories(environment)
        self._written_at = float("-inf")
        self._written_troubles: list[str] = []
        self._warned = False

    def write(self, troubles: list[str]) -> None:
        """Write that the agent runs, and its troubles, if they have changed or the file gets old.

        If no directory takes the file, that is logged once, until one does.
        """
        now = _boot_clock()
        if self._written_troubles == troubles and now < self._written_at + WRITE_INTERVAL_SECONDS:
            return
        self._written_at, self._written_troubles = now, troubles
        document = orjson.dumps({"pid": os.getpid(), "time": now, "troubles": troubles})
        reasons = []
        for directory in self._directories:
            try:
                _replace(directory / self._name, document)
            except OSError as error:
                reasons.append(f"{directory}: {error.strerror}")
                _discard(directory / self._name)  # what it says is not true any more
            else:
                self._warned = False
                return
        if not self._warned:
            self._warned = True
            reason = "; ".join(reasons)
            log.warning("the heartbeat cannot be written (%s): `usage-agent health` will not find this agent", reason)

    def remove(self) -> None:
        """Remove the file, because the agent ends as it was asked to."""
        for directory in self._directories:
            _discard(directory / self._name)

    def read(self) -> list[str]:
        """Return what is wrong with the agent: its troubles, or that it does not run; empty if all is well."""
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
    named = (environment.get("RUNTIME_DIRECTORY"), "/run/usage-agent", environment.get("XDG_RUNTIME_DIR"))
    temporary = Path(environment.get("TMPDIR") or tempfile.gettempdir())
    candidates = [Path(directory.partition(":")[0]) for directory in named if directory]
    return [directory for directory in candidates if directory.is_dir()] + [temporary]


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all. Raises OSError.

    Symbolic links are not followed: the directory may be writable by everybody.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        complete = os.write(descriptor, content) == len(content)
    except OSError:
        _discard(new)
        raise
    finally:
        os.close(descriptor)
    if not complete:
        _discard(new)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    new.replace(path)


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _boot_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
