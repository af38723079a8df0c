"""All parts of a soak test, and the faults that can be applied to each."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.assertions.recording_subscriber import HOST, ROOT
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import slack, wait_until

from soak.accounting import Accounting, InterruptedSubscriber, Recorder
from soak.faults import AGENT_OPTIONS, Step, names
from soak.gate import Gate

SHUTDOWN_SECONDS = 2.0  # shutdown.timeout
PROMISED_SECONDS = SHUTDOWN_SECONDS + 2  # within which the agent ends
FORGET_SECONDS = 5.0  # topics.forget_removed
BROKER = ("max_inflight_messages 0", "max_queued_messages 0")  # no limits: forward at once


class Environment:
    """An engine with containers, a broker behind a gate, the agent, and two subscribers.

    `recorder` is never cut, `interrupted` is.
    """

    def __init__(self, directory: Path, containers: int, interval: float, source: str) -> None:
        self.accounting = Accounting()
        self.containers = names(containers)
        self.log: list[str] = []  # of the agents that have ended
        self._ids: dict[str, str] = {}
        self._directory = directory
        self._interval = interval
        self._source = source
        self._stack = contextlib.ExitStack()
        self.engine = PrivateEngine(directory / "engine", "--live-restore")
        self.broker = Mosquitto(directory / "broker", *BROKER)

    def open(self, check_interrupt: Callable[[], None]) -> None:
        """Start all parts; `check_interrupt` is called after each and may raise."""
        for part in (self.engine, self.broker):
            self._stack.callback(part.close)
            part.start()
            check_interrupt()
        for name in self.containers:
            self._ids[name] = self.engine.run(name=name)
            check_interrupt()
        self.gate = Gate(self.broker.port)
        self._stack.callback(self.gate.close)
        self.recorder = Recorder(self.broker.url, self.accounting)
        self._stack.callback(self.recorder.close)
        self.interrupted = InterruptedSubscriber(self.broker.url)
        self._stack.callback(self.interrupted.close)
        self._stack.callback(lambda: self.agent.close())
        self.start_agent(self._source, AGENT_OPTIONS[1][0])

    def close(self) -> None:
        """End all parts, whatever state they are in."""
        self._stack.close()

    def start_agent(self, source: str, on_full: str) -> None:
        """Start an agent."""
        config: dict[str, dict[str, Any]] = {
            "agent": {"host": HOST, "interval": self._interval},
            "engine": {"url": self.engine.url, "timeout": 5, "source": source},
            "broker": {"url": f"mqtt://127.0.0.1:{self.gate.port}", "client_id": "soak", "keepalive": 5},
            "outbox": {"capacity": 5 * len(self.containers), "on_full": on_full},
            "topics": {"forget_removed": FORGET_SECONDS},
            "shutdown": {"timeout": SHUTDOWN_SECONDS},
        }
        self.accounting.begin()
        self.agent = RunningAgent(self._directory / f"agent{len(self.accounting.runs)}", config)
        self.agent.wait_for_line("usage-agent")  # before, signals are not handled

    def end_agent(self) -> None:
        """Ask the agent to end, and check that it does so in time."""
        began = time.monotonic()
        code = self.agent.stop()
        if code or time.monotonic() - began > PROMISED_SECONDS + slack():
            self.accounting.violations.append(f"the agent ended with {code} after {time.monotonic() - began:.1f} s")
        self.accounting.end(self.agent.log)
        self._close_agent()

    def kill_agent(self) -> None:
        """End the agent as a crash would."""
        self.accounting.kill()
        self.agent.kill()
        self._close_agent()

    def _close_agent(self) -> None:
        self.log += self.agent.lines
        self.agent.close()

    def apply(self, step: Step) -> None:
        """Apply a step.

        Raises:
            AssertionError: A docker command failed. This is no fault of the agent.
        """
        if step.target == "agent":
            self._change_agent(step)
        elif step.target == "broker":
            self._change_broker(step.action)
        elif step.target == "connection":
            self.gate.cut()
        elif step.target == "subscriber":
            self.interrupted.cut()
        elif step.target == "engine":
            getattr(self.engine, step.action)()
        else:
            self._change_container(step)

    def _change_agent(self, step: Step) -> None:
        if step.action == "start":
            self.start_agent(*step.detail)
        elif step.action == "terminate":
            self.end_agent()
        elif step.action == "kill":
            self.kill_agent()
        else:
            getattr(self.agent, step.action)()

    def _change_broker(self, action: str) -> None:
        if action in ("kill", "restart"):
            self.gate.shut()
            self.broker.kill() if action == "kill" else self.broker.stop()
        if action in ("start", "restart"):
            before = self.recorder.subscriptions
            self.broker.start()
            wait_until(lambda: self.recorder.subscriptions > before, 30, "the recorder does not reconnect")
            self.gate.open()
        if action in ("freeze", "thaw"):
            getattr(self.broker, action)()

    def _change_container(self, step: Step) -> None:
        name, action = step.target, step.action
        if action in ("remove", "recreate"):
            self.engine.remove(name)
        if action in ("create", "recreate"):
            self._ids[name] = self.engine.run(name=name)
        elif action == "die":
            self.engine.kill_process(self._ids[name])
        elif action == "restart":
            self.engine.docker("restart", "--time", "0", name)
        elif action != "remove":
            self.engine.docker(action, name, *step.detail)
        if action == "rename":
            self._ids[step.detail[0]] = self._ids[name]

    def end_agent_and_wait(self) -> None:
        """End the agent, and return when the recorder has received its last status."""
        before = time.monotonic()
        self.end_agent()
        self.recorder.wait_for(
            lambda message: message.topic == f"{ROOT}/status" and message.json["status"] == "stopped", after=before
        )
