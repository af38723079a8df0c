"""The network between agent and broker is cut: packets vanish without an error."""

import json
import time
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.network import FarBroker, Network
from support.daemons.processes import slack
from support.daemons.subscriber import retained
from support.fakes.engine import FakeEngine

from agent.mqtt.client import WILL_DELAY_SECONDS
from faults.assertions import SOON
from faults.load import Load

StartAgent = Callable[..., RunningAgent]
Record = Callable[..., RecordingSubscriber]

LOST = "lost the connection to mqtt://10.0.2.2"


def test_idle_connection_is_found_dead_by_its_keepalive(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, start_agent: StartAgent, record: Record
) -> None:
    """Subscribers learn of it by the will."""
    subscriber = record(far_broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, far_broker, agent={"interval": 3600}, broker={"keepalive": 4})
    subscriber.usages("web")
    network.cut()
    began = time.monotonic()
    running.wait_for_line(LOST)
    assert time.monotonic() - began < 2 * 4 + slack()
    subscriber.agent("connection lost")
    network.mend()
    back = time.monotonic()
    subscriber.agent("running", after=back, timeout=SOON)
    assert b'"running"' in retained(far_broker.url, f"{ROOT}/status")[f"{ROOT}/status"]


def test_short_cut_keeps_the_connection(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, start_agent: StartAgent, record: Record
) -> None:
    """A cut of a second is a delay only: nothing is lost."""
    subscriber = record(far_broker)
    crowd = Load(fake_engine, 1)
    start_agent(fake_engine, far_broker)
    (name,) = crowd.names
    subscriber.usages(name, count=2)
    network.cut()
    crowd.wait_for(2)
    network.mend()
    subscriber.usages(name, count=2, after=time.monotonic(), timeout=SOON)
    assert subscriber.counters(after=time.monotonic())["broker"] == {"connects": 1, "disconnects": 0}
    assert subscriber.missing(name) == 0


def test_connection_that_only_the_agent_knows_is_given_up(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, start_agent: StartAgent, record: Record
) -> None:
    """After the broker's host has lost its power, the new broker gets everything."""
    subscriber = record(far_broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, far_broker)
    subscriber.usages("web", count=2)
    network.cut()
    far_broker.kill()
    far_broker.start()
    network.mend()
    back = time.monotonic()
    subscriber.usages("web", after=back, timeout=SOON)
    running.wait_for_line(LOST)
    topics = {f"{ROOT}/status", f"{ROOT}/web/status"}
    assert set(retained(far_broker.url, f"{ROOT}/#")) == topics


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_short_loss_does_not_end_the_agent(
    fake_engine: FakeEngine,
    far_broker: FarBroker,
    network: Network,
    start_agent: StartAgent,
    record: Record,
    protocol: str,
) -> None:
    """An agent that is back soon has not been `stopped`. With MQTT 3.1.1 its late will is corrected."""
    subscriber = record(far_broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, far_broker, broker={"keepalive": 60, "protocol": protocol})
    subscriber.usages("web", count=2)
    network.cut()
    running.wait_for_line(LOST)
    network.mend()
    back = time.monotonic()
    subscriber.usages("web", count=2, after=back, timeout=SOON)
    if protocol == "3.1.1":
        subscriber.agent("connection lost")
    else:
        subscriber.usages("web", count=WILL_DELAY_SECONDS + 3, after=back)  # one a second, so the will would be there
        statuses = [json.loads(message.payload)["status"] for message in subscriber.on(f"{ROOT}/status")]
        assert set(statuses) == {"running"}
    assert b'"running"' in retained(far_broker.url, f"{ROOT}/status")[f"{ROOT}/status"]


def test_agent_that_cannot_reach_the_broker_logs_once(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, start_agent: StartAgent, record: Record
) -> None:
    """An agent whose packets get nowhere logs that once, and works as soon as the network does."""
    subscriber = record(far_broker)
    fake_engine.run("web")
    network.cut()
    running = start_agent(fake_engine, far_broker)
    running.wait_for_line("no answer; is the broker running, and does a firewall let the agent through")
    network.mend()
    back = time.monotonic()
    subscriber.usages("web", after=back, timeout=SOON)
    assert subscriber.missing("web") == 0


@pytest.mark.parametrize("noticed", [False, True])
def test_sigterm_while_the_network_is_cut_ends_in_time(
    fake_engine: FakeEngine,
    far_broker: FarBroker,
    network: Network,
    start_agent: StartAgent,
    record: Record,
    noticed: bool,
) -> None:
    """SIGTERM ends the agent in time, whether or not it has noticed the cut."""
    subscriber = record(far_broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, far_broker)
    subscriber.usages("web")
    network.cut()
    if noticed:
        running.wait_for_line(LOST)
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 2 + 2 + slack()  # shutdown.timeout, what the contract adds, a busy machine
