"""Base class of the programs that tests start, freeze, kill and end; waiting for their states."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE = 120.0
"""Seconds to wait for an expected event: far more than a busy machine needs. A test that checks a limit has its own
limit, and adds `slack` to it."""


class NotReadyError(AssertionError):
    """A condition did not become true in time."""


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Wait until `condition` is true, by polling: other processes do not announce their states.

    A condition that takes long to evaluate, such as a command, is evaluated less often.
    """
    deadline = time.monotonic() + timeout
    never = threading.Event()
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        if now > deadline:
            raise NotReadyError(f"after {timeout:g} s: {what}")
        never.wait(max(0.02, min(2 * (now - began), 1)))


def slack() -> float:
    """Return the seconds to add to a limit now: 3, and more the more processes wait for the CPUs."""
    return 3 + 2 * os.getloadavg()[0] / (os.cpu_count() or 1)


def find(program: str) -> str | None:
    """Return the path of a program, also if it is in a directory of root's PATH only."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def end_with_parent(command: Sequence[str], end_signal: str = "KILL") -> list[str]:
    """Return a command that gets the signal `end_signal` when the test process dies before it."""
    return ["setpriv", "--pdeathsig", end_signal, "--", *command]


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _is_stopped(pid: int) -> bool:
    """Return whether all threads of a process have stopped after SIGSTOP, or ended."""
    try:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):  # a thread has just ended
        return False
    return all(stat.rpartition(")")[2].split()[0] in "TZX" for stat in stats)


class Daemon:
    """A background program with its own directory."""

    name = "daemon"
    end_signal = "KILL"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Return the command line."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Return whether the program answers."""
        raise NotImplementedError

    @property
    def environment(self) -> Mapping[str, str]:
        """The program's environment."""
        return os.environ

    @property
    def running(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running program."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """The output of the program since its first start."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start the program and wait until it answers."""
        assert not self.running, f"{self.name} runs already"
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                end_with_parent(self.command(), self.end_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                start_new_session=True,  # Ctrl-C in a terminal goes to the tests only, which then end this program
            )
        try:
            wait_until(lambda: self.ready() or not self.running, PATIENCE, f"{self.name} does not answer")
            assert self.running, f"{self.name} ended at once"
        except BaseException as error:
            self.kill()
            error.add_note(self.log[-4000:])
            raise

    def signal(self, number: int) -> None:
        """Send a signal if the process exists."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the program by SIGKILL, like a crash."""
        self._end(signal.SIGKILL, PATIENCE)

    def stop(self, timeout: float = PATIENCE) -> None:
        """End the program by SIGTERM, and wait until it has ended."""
        self._end(signal.SIGTERM, timeout)

    def restart(self) -> None:
        """Stop and start again, in the same directory."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the program by SIGSTOP; the kernel still accepts connections for it.

        Returns when all threads have stopped: on a busy machine they keep running for a moment after the signal.
        """
        self.signal(signal.SIGSTOP)
        if self.running:
            wait_until(lambda: _is_stopped(self.pid), PATIENCE, f"{self.name} does not stop")

    def thaw(self) -> None:
        """Continue a frozen program."""
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        """End the program, whatever state it is in. Closing twice is fine."""
        self.thaw()
        try:
            self.stop(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def _end(self, number: int, timeout: float) -> None:
        if self._process is not None:
            self.signal(number)
            self._process.wait(timeout)
            self._process = None
