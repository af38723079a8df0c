"""Programs that are measured: ours, the rivals', the floor. Each has a directory of its own, and is ended whole."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.daemons.processes import alive, bound_to_us, wait_until

from benchmarks.accounting import family

ENDING = 10  # seconds to end in peace


class Program:
    """A program and all its children."""

    def __init__(
        self, directory: Path, command: Sequence[str], environment: Mapping[str, str], *, output: bool = False
    ) -> None:
        """Start it. `output`: keep what it prints, too, and not only its complaints."""
        directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the candidates
                bound_to_us(command),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log if output else subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pids(self) -> set[int]:
        """The processes there are now."""
        return family(self._process.pid)

    @property
    def running(self) -> bool:
        """Whether the first of them runs."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")

    def wait(self, timeout: float) -> None:
        """Wait for its own end."""
        self._process.wait(timeout)

    def close(self) -> None:
        """End it and its children."""
        pids = self.pids
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not any(alive(pid) for pid in pids), ENDING, "processes of a candidate do not end")


def clean_environment() -> dict[str, str]:
    """Return ours, without settings of the agent, of docker, and of Python: it may be forbidden to keep bytecode."""
    ours = ("USAGE_AGENT_", "DOCKER_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
