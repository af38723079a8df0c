"""The agent is killed, frozen, or started twice: its will, and what the next agent makes of what it finds."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import retained
from support.fakes.engine import FakeEngine

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

ANOTHER_CLIENT = r"another client uses the same client id \(usage-agent-h\).*give each agent its own broker.client_id"
ANOTHER_AGENT = "another agent, started at .*, publishes for host h on this broker too: .*its own agent.host"


def test_killed_agent_leaves_its_will_and_the_next_one_corrects_statuses(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """The broker publishes the will; the next agent corrects the statuses of containers that have changed since."""
    broker = own_broker()
    subscriber = record(broker)
    for name in ("stays", "ends", "goes"):
        engine.run(name=name)
    running = start_agent(engine, broker)
    for name in ("stays", "ends", "goes"):
        subscriber.usages(name)
    running.kill()
    subscriber.agent("connection lost")
    engine.docker("stop", "--time", "0", "ends")
    engine.remove("goes")
    again = time.monotonic()
    start_agent(engine, broker, topics={"forget_removed": 2})
    subscriber.usages("stays", after=again)
    assert subscriber.status("ends", "exited", after=again)["exit_code"] == 137
    subscriber.status("goes", "removed", after=again)
    subscriber.status("goes", "cleared", after=again)
    assert subscriber.statuses("stays")[-1] == "running"


def test_frozen_agent_leaves_its_will_and_catches_up(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """After 1.5 keepalives the broker publishes the will; the resumed agent publishes all changes since."""
    broker = own_broker()
    subscriber = record(broker)
    for name in ("stays", "ends", "goes"):
        engine.run(name=name)
    running = start_agent(engine, broker, broker={"keepalive": 2})
    for name in ("stays", "ends", "goes"):
        subscriber.usages(name)
    running.freeze()
    subscriber.agent("connection lost")
    engine.docker("stop", "--time", "0", "ends")
    engine.remove("goes")
    engine.run(name="comes")
    again = time.monotonic()
    running.thaw()
    subscriber.usages("stays", 2, after=again)
    subscriber.usages("comes", 2, after=again)
    assert subscriber.status("ends", "exited", after=again)["exit_code"] == 137
    subscriber.status("goes", "removed", after=again)
    subscriber.agent("running", after=again)
    assert set(subscriber.statuses("stays")) == {"running"}
    assert subscriber.missing("stays") == subscriber.counters(after=time.monotonic())["outbox"]["dropped"] == 0


def test_statuses_are_right_after_repeated_crashes(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Whatever a crash leaves behind, the next agent corrects: in the end the broker has what the engine reports."""
    broker = own_broker()
    subscriber = record(broker)
    kept = [fake_engine.run(f"kept-{number}") for number in range(20)]
    for number in range(5):
        again = time.monotonic()
        running = start_agent(fake_engine, broker, topics={"forget_removed": 1})
        gone = [fake_engine.run(f"gone-{number}-{one}") for one in range(5)]
        subscriber.usages(kept[0].name, after=again)
        running.kill()
        for container in gone:
            fake_engine.destroy(container)
    again = time.monotonic()
    start_agent(fake_engine, broker, topics={"forget_removed": 1})
    for container in kept:
        subscriber.usages(container.name, after=again)
        assert set(subscriber.statuses(container.name)) == {"running"}
    wait_until(lambda: not named(broker, "gone"), PATIENCE, "what is gone is not forgotten")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Give a stack that closes what is registered with it."""
    with ExitStack() as made:
        yield made


@pytest.mark.slow
def test_two_agents_with_one_client_id_back_off(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, stack: ExitStack
) -> None:
    """Two agents with one client id do not disconnect each other for ever, and log the cause and the remedy.

    Each reconnects after a wait that grows from one time to the next, whether or not the broker gives a reason.
    """
    broker = own_broker()
    subscriber = stack.enter_context(
        closing(RecordingSubscriber(broker.url))
    )  # unchecked: the counters of two do not add up
    fake_engine.run("web")
    backoff = {"base": 1, "factor": 4, "cap": 60}
    same = {"client_id": "usage-agent-h"}
    both = [start_agent(fake_engine, broker, broker=same, backoff=backoff)]
    subscriber.usages("web", 7)
    both.append(start_agent(fake_engine, broker, broker=same, backoff=backoff))
    for running in both:
        running.wait_for_line(ANOTHER_CLIENT)
    calm = time.monotonic() + 30
    wait_until(lambda: time.monotonic() > calm, PATIENCE, "time stands still")
    assert broker.log.count("usage-agent-h already connected") <= 12, "they fight"  # after 1, 4 and 16 s, each
    for running in both:
        assert len([line for line in running.lines if " warning " in line]) <= 12
    assert both[0].stop() == 0
    left = time.monotonic()
    subscriber.usages("web", 3, after=left)
    wait_until(lambda: said(broker, "web") == said(broker) == "running", PATIENCE, "what the one left behind stays")


def test_two_agents_with_one_host_name_are_detected(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, stack: ExitStack
) -> None:
    """Two agents with client ids of their own overwrite each other's statuses: the second logs that once."""
    broker = own_broker()
    subscriber = stack.enter_context(
        closing(RecordingSubscriber(broker.url))
    )  # unchecked: the counters of two do not add up
    fake_engine.run("web")
    first = start_agent(fake_engine, broker)
    subscriber.usages("web")
    second = start_agent(fake_engine, broker)
    second.wait_for_line(ANOTHER_AGENT)
    subscriber.counters(after=time.monotonic() + 2)
    assert len(second.wait_for_line(ANOTHER_AGENT)) == 1
    assert " warning " not in first.log


def said(broker: Mosquitto, container: str = "") -> Any:
    """Return the retained status of a container, or of the agent."""
    topic = f"{ROOT}/{container}/status" if container else f"{ROOT}/status"
    return json.loads(retained(broker.url, topic)[topic])["status"]


def named(broker: Mosquitto, start: str) -> list[str]:
    """Return the retained topics of containers whose names have this prefix."""
    return [topic for topic in retained(broker.url, f"{ROOT}/+/status") if topic.split("/")[2].startswith(start)]
