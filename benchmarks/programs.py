"""Programs that are measured. Each has a directory of its own, and is ended with all its children."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.daemons.processes import alive, end_with_parent, wait_until

from benchmarks.accounting import family

END_TIMEOUT_SECONDS = 10  # from SIGTERM to SIGKILL


class Program:
    """A program and all its children."""

    def __init__(
        self, directory: Path, command: Sequence[str], environment: Mapping[str, str], *, output: bool = False
    ) -> None:
        """Start it. With `output`, keep its standard output too, and not only its standard error."""
        directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the candidates
                end_with_parent(command),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log if output else subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pids(self) -> set[int]:
        """Its present processes, children included."""
        return family(self._process.pid)

    @property
    def running(self) -> bool:
        """Whether its first process runs."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def wait(self, timeout: float) -> None:
        """Wait until it ends by itself."""
        self._process.wait(timeout)

    def close(self) -> None:
        """End it and its children."""
        pids = self.pids
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT_SECONDS)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        wait_until(
            lambda: not any(alive(pid) for pid in pids), END_TIMEOUT_SECONDS, "processes of a candidate do not end"
        )


def clean_environment() -> dict[str, str]:
    """Return this process's environment without variables of the agent, of docker and of Python.

    PYTHONDONTWRITEBYTECODE, for example, would make every start slower.
    """
    prefixes = ("USAGE_AGENT_", "DOCKER_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
