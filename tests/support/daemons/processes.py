"""Programs that tests start, freeze, kill and end."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE = 120.0
"""Seconds to wait for what must happen: far more than a busy machine needs. A limit that is the subject of a test is
that test's own, and takes `slack` into account."""


class NotReadyError(AssertionError):
    """A program did not come up; the message ends with what it wrote."""


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Return as soon as `condition` holds; for states of other processes, which nobody announces.

    A condition that takes long to evaluate, such as a command, is asked less often.
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
    """Seconds that may be added to a limit on this machine now: 3, and the more the more work waits for its CPUs."""
    return 3 + 2 * os.getloadavg()[0] / (os.cpu_count() or 1)


def find(program: str) -> str | None:
    """Find a program that may live where only root's PATH looks."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def bound_to_us(command: Sequence[str], farewell: str = "KILL") -> list[str]:
    """Return a command that gets the signal `farewell` if the tests die before they could end it."""
    return ["setpriv", "--pdeathsig", farewell, "--", *command]


def alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not yet waited for does not."""
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
    """A background program in a directory of its own."""

    name = "daemon"
    farewell = "KILL"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Return what to start."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Say whether the program answers."""
        raise NotImplementedError

    @property
    def environment(self) -> Mapping[str, str]:
        """The program's environment."""
        return os.environ

    @property
    def running(self) -> bool:
        """Whether the program is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running program."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the program wrote, over all its starts."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start the program and return when it answers."""
        assert not self.running, f"{self.name} runs already"
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                bound_to_us(self.command(), self.farewell),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                start_new_session=True,  # Ctrl-C in a terminal is for the tests, who then end this one
            )
        try:
            wait_until(lambda: self.ready() or not self.running, PATIENCE, f"{self.name} does not answer")
            assert self.running, f"{self.name} ended at once"
        except BaseException as error:
            self.kill()
            error.add_note(self.log[-4000:])
            raise

    def signal(self, number: int) -> None:
        """Send a signal, if there is somebody to get it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the program as a crash would."""
        self._end(signal.SIGKILL, PATIENCE)

    def stop(self, timeout: float = PATIENCE) -> None:
        """Ask the program to end, and wait until it has."""
        self._end(signal.SIGTERM, timeout)

    def restart(self) -> None:
        """Stop and start again, in the same directory."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the program where it stands; its kernel goes on accepting connections for it.

        Returns when all threads have stopped: on a busy machine they run on for a moment after the signal.
        """
        self.signal(signal.SIGSTOP)
        if self.running:
            wait_until(lambda: _is_stopped(self.pid), PATIENCE, f"{self.name} does not stop")

    def thaw(self) -> None:
        """Let a frozen program go on."""
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
