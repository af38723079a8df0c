"""All parts of a soak, and what may be done to each."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.assertions.recording_subscriber import HOST, ROOT
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import wait_until

from soak.accounts import Accounts, Guest, Witness
from soak.faults import STARTS, Step, names
from soak.gate import Gate

TIMEOUT = 2.0  # shutdown.timeout
ENDING = TIMEOUT + 2 + 3  # what the contract adds, and a busy machine
FORGET = 5.0  # topics.forget_removed
BROKER = ("max_inflight_messages 0", "max_queued_messages 0")  # what is forwarded is forwarded at once


class Environment:
    """An engine with containers, a broker, a gate before it, the agent, a recorder and a guest."""

    def __init__(self, directory: Path, containers: int, interval: float, source: str) -> None:
        self.accounts = Accounts()
        self.containers = names(containers)
        self.log: list[str] = []  # of the agents that have ended
        self._ids: dict[str, str] = {}
        self._directory = directory
        self._interval = interval
        self._source = source
        self._stack = contextlib.ExitStack()
        self.engine = PrivateEngine(directory / "engine", "--live-restore")
        self.broker = Mosquitto(directory / "broker", *BROKER)

    def open(self, go_on: Callable[[], None]) -> None:
        """Start everything; `go_on` is called now and then, and may raise."""
        for part in (self.engine, self.broker):
            self._stack.callback(part.close)
            part.start()
            go_on()
        for name in self.containers:
            self._ids[name] = self.engine.run(name=name)
            go_on()
        self.gate = Gate(self.broker.port)
        self._stack.callback(self.gate.close)
        self.recorder = Witness(self.broker.url, self.accounts)
        self._stack.callback(self.recorder.close)
        self.guest = Guest(self.broker.url)
        self._stack.callback(self.guest.close)
        self._stack.callback(lambda: self.agent.close())
        self.start_agent(self._source, STARTS[1][0])

    def close(self) -> None:
        """End everything, in whatever state it is."""
        self._stack.close()

    def start_agent(self, source: str, on_full: str) -> None:
        """Start an agent."""
        config: dict[str, dict[str, Any]] = {
            "agent": {"host": HOST, "interval": self._interval},
            "engine": {"url": self.engine.url, "timeout": 5, "source": source},
            "broker": {"url": f"mqtt://127.0.0.1:{self.gate.port}", "client_id": "soak", "keepalive": 5},
            "outbox": {"capacity": 5 * len(self.containers), "on_full": on_full},
            "topics": {"forget_removed": FORGET},
            "shutdown": {"timeout": TIMEOUT},
        }
        self.accounts.begin()
        self.agent = RunningAgent(self._directory / f"agent{len(self.accounts.runs)}", config)
        self.agent.wait_for_line("usage-agent")  # before, nobody listens to signals

    def end_agent(self) -> None:
        """Ask the agent to end, and see that it does so in time."""
        began = time.monotonic()
        code = self.agent.stop()
        if code or time.monotonic() - began > ENDING:
            self.accounts.broken.append(f"the agent ended with {code} after {time.monotonic() - began:.1f} s")
        self.accounts.end(self.agent.log)
        self._leave_agent()

    def kill_agent(self) -> None:
        """End the agent as a crash would."""
        self.accounts.kill()
        self.agent.kill()
        self._leave_agent()

    def _leave_agent(self) -> None:
        self.log += self.agent.lines
        self.agent.close()

    def do(self, step: Step) -> None:
        """Do it. What docker refuses to do is an AssertionError; it says nothing of the agent."""
        if step.whom == "agent":
            self._to_agent(step)
        elif step.whom == "broker":
            self._to_broker(step.what)
        elif step.whom == "connection":
            self.gate.cut()
        elif step.whom == "viewer":
            self.guest.cut()
        elif step.whom == "engine":
            getattr(self.engine, step.what)()
        else:
            self._to_container(step)

    def _to_agent(self, step: Step) -> None:
        if step.what == "start":
            self.start_agent(*step.detail)
        elif step.what == "terminate":
            self.end_agent()
        elif step.what == "kill":
            self.kill_agent()
        else:
            getattr(self.agent, step.what)()

    def _to_broker(self, what: str) -> None:
        if what in ("kill", "restart"):
            self.gate.shut()
            self.broker.kill() if what == "kill" else self.broker.stop()
        if what in ("start", "restart"):
            before = self.recorder.subscriptions
            self.broker.start()
            wait_until(lambda: self.recorder.subscriptions > before, 30, "the recorder does not come back")
            self.gate.open()
        if what in ("freeze", "thaw"):
            getattr(self.broker, what)()

    def _to_container(self, step: Step) -> None:
        name, what = step.whom, step.what
        if what in ("remove", "recreate"):
            self.engine.remove(name)
        if what in ("create", "recreate"):
            self._ids[name] = self.engine.run(name=name)
        elif what == "die":
            self.engine.kill_process(self._ids[name])
        elif what == "restart":
            self.engine.docker("restart", "--time", "0", name)
        elif what != "remove":
            self.engine.docker(what, name, *step.detail)
        if what == "rename":
            self._ids[step.detail[0]] = self._ids[name]

    def say_goodbye(self) -> None:
        """End the agent, and return when the recorder has seen the last of it."""
        before = time.monotonic()
        self.end_agent()
        self.recorder.wait_for(
            lambda message: message.topic == f"{ROOT}/status" and message.json["status"] == "stopped", after=before
        )
