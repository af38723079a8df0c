"""The will: published for an agent that is gone, and not for a connection that the agent has replaced."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from agent.config import BrokerSettings
from agent.mqtt.connection import Connection
from agent.mqtt.connector import Connector
from agent.mqtt.deadline import Deadline
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog
from mqtt.harness import BASE, STATUS, OwnBroker, Publish, Subscribe, status, usage


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    """Yield a stack of what has to be ended."""
    with ExitStack() as stack:
        yield stack


def make_connector(url: str, protocol: str) -> Connector:
    """Return the connector of an agent whose will is the status `lost`."""
    settings = BrokerSettings(url=(url,), protocol=protocol)  # type: ignore[arg-type]
    return Connector(settings, "same", lambda: status("lost"), Deadline(), WakeupEvent(), Watchdog())


def connect(connector: Connector, ending: ExitStack) -> Connection:
    """Connect; each of a connector's connections replaces the one before."""
    connection = connector.connect()
    ending.callback(connection.abort)
    return connection


@pytest.mark.parametrize(("protocol", "wills"), [("5", 0), ("3.1.1", 1)])
def test_replaced_connection_has_no_will(
    own_broker: OwnBroker, publish: Publish, subscribe: Subscribe, ending: ExitStack, protocol: str, wills: int
) -> None:
    """The agent is back before the broker has noticed that the old connection is lost. MQTT 3.1.1 cannot tell."""
    broker = own_broker()
    subscriber = subscribe(broker.url, f"{BASE}/#")
    connector = make_connector(broker.url, protocol)
    connect(connector, ending)
    connect(connector, ending)
    publish(broker.url).deliver(usage())
    subscriber.wait_for(lambda message: message.payload == b"1")
    assert [message.topic for message in subscriber.messages].count(STATUS) == wills


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_killed_agent_has_a_will_when_the_next_one_connects(
    own_broker: OwnBroker, subscribe: Subscribe, ending: ExitStack, protocol: str
) -> None:
    """Another process resumes no session: so it finds `stopped`, and takes its predecessor for no other agent."""
    broker = own_broker()
    subscriber = subscribe(broker.url, STATUS)
    connect(make_connector(broker.url, protocol), ending)
    connect(make_connector(broker.url, protocol), ending)
    assert [message.payload for message in subscriber.on(STATUS)] == [b"lost"]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_lost_connection_has_a_will(
    own_broker: OwnBroker, subscribe: Subscribe, ending: ExitStack, protocol: str
) -> None:
    """A connection that ends without a DISCONNECT, and is not replaced, leaves the will."""
    broker = own_broker()
    subscriber = subscribe(broker.url, STATUS)
    connect(make_connector(broker.url, protocol), ending).abort()
    assert [message.payload for message in subscriber.on(STATUS)] == [b"lost"]
