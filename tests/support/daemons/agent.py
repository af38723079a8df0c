"""The agent as a separate process."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import agent
from support.daemons.processes import PATIENCE, alive, end_with_parent, wait_until

RUN = ("run",)
HEARTBEAT_PLACES = ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR")


class RunningAgent:
    """`python -m agent run` with its own configuration; keeps the lines of its log and of its output.

    `inside` is a command that executes the agent in its own place, such as `env -u HOME`.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Mapping[str, Any]],
        command: Sequence[str] = RUN,
        environment: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "config.toml"
        self._tables = dict(config)
        self.config.write_text(to_toml(config))
        self.lines: list[str] = []
        self.output: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            end_with_parent([*inside, sys.executable, "-m", "agent", *command, "--config", str(self.config)]),
            cwd=directory,  # so that no checkout can be imported by accident
            # The heartbeat files of each test in a directory of its own: `health` reads those of all agents.
            env=_environment() | dict.fromkeys(HEARTBEAT_PLACES, str(directory.parent)) | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stderr, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stdout, self.output), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The agent's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process.poll() is None

    def wait_for_line(self, pattern: str, timeout: float = PATIENCE, count: int = 1, output: bool = False) -> list[str]:
        """Wait until `count` lines of the log, or of standard output, match; return all matching lines."""
        source = self.output if output else self.lines
        deadline = time.monotonic() + timeout
        with self._news:
            while len(matching := [line for line in source if re.search(pattern, line)]) < count:
                left = deadline - time.monotonic()
                ended = not any(reader.is_alive() for reader in self._readers)
                if left <= 0 or ended:
                    why = f"the agent ended ({self._process.poll()})" if ended else f"{timeout:g} s passed"
                    raise AssertionError(f"no line matched {pattern!r}: {why}; the log:\n{self.log}")
                self._news.wait(min(left, 1))
            return matching

    @property
    def log(self) -> str:
        """The lines on standard error so far."""
        return "\n".join(self.lines)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def reload(self, **tables: Mapping[str, Any]) -> None:
        """Change keys in the configuration file, which is never half written, and send SIGHUP."""
        for table, keys in tables.items():
            self._tables[table] = {**self._tables.get(table, {}), **keys}
        new = self.config.with_suffix(".new")
        new.write_text(to_toml(self._tables))
        new.replace(self.config)
        self.signal(signal.SIGHUP)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait until the agent has ended by itself and all its lines are read; return its exit code."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the agent did not end within {timeout:g} s; the log:\n{self.log}") from None
        for reader in self._readers:
            reader.join(timeout)
        return code

    def stop(self, timeout: float = PATIENCE) -> int:
        """End the agent by SIGTERM and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """End the agent by SIGKILL, like a crash."""
        self.signal(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """Stop the agent by SIGSTOP, like a suspended laptop."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue a frozen agent."""
        self.signal(signal.SIGCONT)

    def rss(self) -> int:
        """Return the resident memory in bytes."""
        return int(self._status("VmRSS").split()[0]) * 1024

    def threads(self) -> int:
        """Return the number of threads."""
        return int(self._status("Threads"))

    def fds(self) -> int:
        """Return the number of open descriptors."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def children(self) -> list[int]:
        """Return the running child processes of the agent."""
        pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in pids]

    def close(self) -> None:
        """End the agent and its children, whatever state they are in. Closing twice is fine."""
        children: list[int] = []
        if self.running:
            with contextlib.suppress(OSError):
                children = self.children()
            self.thaw()
            self.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        wait_until(lambda: not any(alive(child) for child in children), PATIENCE, "children of the agent do not end")
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            with self._news:
                lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _status(self, field: str) -> str:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return value.strip()
        raise AssertionError(f"no {field} in the status of process {self.pid}")


def to_toml(config: Mapping[str, Mapping[str, Any]]) -> str:
    """Format tables of strings, numbers, booleans and lists as TOML, where these are spelled as in JSON."""
    lines = []
    for table, keys in config.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def _environment() -> dict[str, str]:
    """Return this environment without settings of the agent and of docker, with the agent that the tests import."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("USAGE_AGENT_", "DOCKER_"))}
    return inherited | {
        "PYTHONPATH": str(Path(agent.__file__).parents[1]),
        "PYTHONWARNINGS": "default",
        "PYTHONUNBUFFERED": "1",
    }
