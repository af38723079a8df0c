"""A home as the documents describe it: the host `nas`, a broker at 127.0.0.1:1883, and the containers `web` and `db`.

It is a network namespace of its own, so that the commands and files of the documents are used as they are written.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.daemons import network
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.network import Network
from support.daemons.processes import PATIENCE, Daemon, end_with_parent, find, wait_until
from support.fakes.engine import FakeEngine

HOST = "nas"


class HomeBroker(Mosquitto):
    """mosquitto at its usual address, inside the namespace."""

    def __init__(self, directory: Path, inside: Sequence[str]) -> None:
        self._inside = inside
        super().__init__(directory, port=1883)

    def command(self) -> list[str]:
        """Return mosquitto's command line."""
        return [*self._inside, *super().command()]

    def ready(self) -> bool:
        """Return whether the port accepts connections."""
        return answers(self._inside, 1883)


class Program(Daemon):
    """A program inside the namespace that is ready when a port answers."""

    def __init__(self, directory: Path, inside: Sequence[str], port: int, *command: str) -> None:
        super().__init__(directory)
        self._inside, self._port, self._command = inside, port, command

    def command(self) -> list[str]:
        """Return the program's command line."""
        return [*self._inside, "sh", "-c", 'cd "$0" && exec "$@"', str(self.directory), *self._command]

    def ready(self) -> bool:
        """Return whether the port accepts connections."""
        return answers(self._inside, self._port)


class Home:
    """A fake engine, an agent and a broker; close it at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.network = Network()
        self.inside = self.network.at_agent
        self.broker = HomeBroker(directory / "broker", self.inside)
        self.engine = FakeEngine(directory / "engine.sock")
        self._agent: RunningAgent | None = None
        self._programs: list[Daemon] = [self.broker]

    @property
    def agent(self) -> RunningAgent:
        """The agent that runs."""
        assert self._agent is not None, "the agent was not started"
        return self._agent

    def start(self) -> None:
        """Start everything; `web` and `db` run."""
        self.broker.start()
        self.engine.start()
        for name in ("web", "db"):
            self.engine.run(name)
        self.start_agent()

    def start_agent(self) -> None:
        """Start an agent in place of the one that has ended."""
        if self._agent is not None:
            self._agent.close()
        config: dict[str, dict[str, Any]] = {"agent": {"host": HOST, "interval": 1}, "engine": {"url": self.engine.url}}
        self._agent = RunningAgent(self.directory / "agent", config, inside=self.inside)

    def program(self, name: str, port: int, *command: str) -> Program:
        """Start a program in a directory of its own, and wait until the port answers."""
        made = Program(self.directory / name, self.inside, port, *command)
        self._programs.append(made)
        made.start()
        return made

    def run(self, command: str) -> str:
        """Run a command of the documents in a shell and return its output; it has to succeed."""
        done = subprocess.run(
            end_with_parent([*self.inside, "bash", "-c", command]),
            capture_output=True,
            text=True,
            env=environment(),
            cwd=self.directory,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def first_line(self, command: str, meanwhile: Callable[[], object] | None = None) -> str:
        """Run a command that goes on for ever, and return the first line that it prints.

        Args:
            command: for a shell.
            meanwhile: is called as soon as the command has subscribed to something.
        """
        subscriptions = self.broker.log.count("Sending SUBACK")
        running = end_with_parent([*self.inside, "timeout", f"{PATIENCE:g}", "bash", "-c", command])
        with subprocess.Popen(
            running, stdout=subprocess.PIPE, text=True, env=environment(), cwd=self.directory, start_new_session=True
        ) as program:
            assert program.stdout is not None
            try:
                if meanwhile is not None:
                    self._wait_for_subscription(subscriptions)
                    meanwhile()
                line = program.stdout.readline()
            finally:
                os.killpg(program.pid, 15)
        assert line, f"{command} printed nothing"
        return line.rstrip("\n")

    def _wait_for_subscription(self, before: int) -> None:
        """Wait until the broker has granted one more subscription than before."""
        wait_until(lambda: self.broker.log.count("Sending SUBACK") > before, PATIENCE, "nobody subscribes")

    def close(self) -> None:
        """End everything."""
        for program in reversed(self._programs):
            program.close()
        if self._agent is not None:
            self._agent.close()
        self.engine.close()
        self.network.close()


def environment() -> dict[str, str]:
    """Return the environment of the commands: the tests' own Python comes first, its output is not held back."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("USAGE_AGENT_")}
    return inherited | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}


def answers(inside: Sequence[str], port: int) -> bool:
    """Return whether a port of the namespace accepts connections."""
    connect = f"exec 3<>/dev/tcp/127.0.0.1/{port}"
    return subprocess.run([*inside, "bash", "-c", connect], capture_output=True, check=False).returncode == 0


def missing() -> str | None:
    """Return why the programs of the documents cannot be run here, or None."""
    if reason := network.missing():
        return reason
    absent = [name for name in ("jq", "mosquitto_sub", "prometheus", "prometheus-mqtt-exporter") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None
