"""SIGTERM at any moment, whatever is broken then: the agent ends in time, and the statuses it leaves are true."""

import json
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, slack, wait_until
from support.daemons.subscriber import retained
from support.fakes.engine import Answer, FakeEngine

StartAgent = Callable[..., RunningAgent]
OwnBroker = Callable[..., Mosquitto]
Break = Callable[[], None]

STATES = ("up", "down", "frozen")
IN_TIME = 2 + 2  # shutdown.timeout, and two seconds for everything else


class Moment:
    """Brings an agent to a moment, breaks something, and sends SIGTERM; seeded."""

    def __init__(self, fake: FakeEngine, broker: Mosquitto, start: Callable[[], RunningAgent], seed: str) -> None:
        self._fake, self._broker, self._start = fake, broker, start
        self._chance = random.Random(seed)

    def connecting(self, breaking: Break) -> RunningAgent:
        """The agent was just started."""
        breaking()
        running = self._start()
        running.wait_for_line("usage-agent .* every")
        self._pass(1.5)
        running.signal(signal.SIGTERM)
        return running

    def backing_off(self, breaking: Break) -> RunningAgent:
        """The agent has worked, and may be waiting for what is broken now."""
        running = self._working()
        breaking()
        self._pass(4)
        running.signal(signal.SIGTERM)
        return running

    def draining(self, breaking: Break) -> RunningAgent:
        """The agent is ending already when something breaks."""
        running = self._working()
        running.signal(signal.SIGTERM)
        running.wait_for_line("ending within")
        self._pass(0.1)
        breaking()
        return running

    def in_a_burst(self, breaking: Break) -> RunningAgent:
        """Containers are started and removed."""
        running = self._working()
        bursting = threading.Thread(target=self._burst)
        bursting.start()
        self._pass(0.5)
        running.signal(signal.SIGTERM)
        breaking()
        bursting.join()
        return running

    def _working(self) -> RunningAgent:
        running = self._start()
        subscriber = RecordingSubscriber(self._broker.url)
        for container in list(self._fake.containers.values()):
            subscriber.usages(container.name)
        subscriber.close()
        return running

    def _burst(self) -> None:
        for number in range(100):
            brief = self._fake.run(f"brief-{number}")
            if number % 2:
                self._fake.destroy(brief)

    def _pass(self, most: float) -> None:
        threading.Event().wait(self._chance.uniform(0, most))


@pytest.mark.parametrize("moment", ["connecting", "backing_off", "draining", "in_a_burst"])
@pytest.mark.parametrize("engine_is", STATES)
@pytest.mark.parametrize("broker_is", STATES)
def test_sigterm_at_any_moment_ends_in_time(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, engine_is: str, broker_is: str, moment: str
) -> None:
    """In time, with 0, and with `stopped` retained for the agent and each container if the broker is reachable.

    A broker that is frozen until the agent has ended may publish the will instead, and nothing for the containers.
    """
    broker = own_broker()
    for number in range(20):
        fake_engine.run(f"web-{number}")

    def breaking() -> None:
        nothing: Break = lambda: None  # noqa: E731
        {"up": nothing, "down": fake_engine.stop, "frozen": fake_engine.freeze}[engine_is]()
        {"up": nothing, "down": broker.kill, "frozen": broker.freeze}[broker_is]()

    at = Moment(fake_engine, broker, lambda: start_agent(fake_engine, broker), f"{moment} {engine_is} {broker_is}")
    running: RunningAgent = getattr(at, moment)(breaking)
    asked = time.monotonic()
    assert running.wait() == 0
    assert time.monotonic() - asked < IN_TIME + slack()
    assert "defect" not in running.log
    if broker_is == "frozen":
        broker.thaw()
        wait_until(lambda: f"{ROOT}/status" not in still_running(broker), PATIENCE, "the will is not published")
    if broker_is == "up":
        assert still_running(broker) == [], f"\n{running.log}"


def test_engine_that_answers_after_the_end_changes_nothing(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent
) -> None:
    """An agent that has published `stopped` does not publish `running` when a slow engine answers at last."""
    broker = own_broker()
    broker.freeze()
    held = Answer(delay=0.5, chunks=fake_engine.events.stream(None))
    fake_engine.script("/events", held, times=1)
    running = start_agent(fake_engine, broker, shutdown={"timeout": 4})
    wait_until(lambda: fake_engine.requests["/events"], PATIENCE, "nobody asks for events")
    fake_engine.freeze()
    running.signal(signal.SIGTERM)
    running.wait_for_line("ending within")
    fake_engine.thaw()
    threading.Event().wait(0.5)
    broker.thaw()
    assert running.wait() == 0
    assert said(broker)[f"{ROOT}/status"]["reason"] == "exit"


def still_running(broker: Mosquitto) -> list[str]:
    """Return the topics whose retained status is `running`."""
    return [topic for topic, status in said(broker).items() if status["status"] == "running"]


def said(broker: Mosquitto) -> dict[str, Any]:
    """Return all retained statuses."""
    found = retained(broker.url, f"{ROOT}/status", f"{ROOT}/+/status")
    return {topic: json.loads(payload) for topic, payload in found.items() if payload}
