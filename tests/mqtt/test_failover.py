"""Several addresses: the next one is tried when one fails, at once, and the one that is left hears of it.

The backoff is an hour, so a test fails if the publisher waits instead of trying the next address.
"""

import time
from collections.abc import Iterator

import pytest
from support.daemons.processes import wait_until
from support.fakes.scripted_broker import (
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PUBLISH,
    Answer,
    Packet,
    ScriptedBroker,
    accept_all,
    connack,
    puback,
)

from agent.config import BrokerSettings
from agent.mqtt.connection import CONNECT_TIMEOUT_SECONDS
from agent.mqtt.connector import Connector
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerUnreachableError
from agent.mqtt.failover import FAILOVER_SECONDS
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog
from mqtt.harness import WAIT_SECONDS, ExpectWarnings, Publish, usage

MAX_KEEPALIVE = 65535  # MQTT 5, section 3.1.2.10


@pytest.fixture
def brokers() -> Iterator[list[ScriptedBroker]]:
    """Yield three brokers that accept everything."""
    made = [ScriptedBroker() for _ in range(3)]
    yield made
    for broker in made:
        broker.close()


def urls(brokers: list[ScriptedBroker]) -> list[str]:
    return [broker.url for broker in brokers]


@pytest.mark.slow
def test_silent_broker_is_left_soon_and_told(brokers: list[ScriptedBroker], publish: Publish) -> None:
    """A broker that does not answer is left while there are others. Thawed later, it finds a DISCONNECT: no will."""
    moments: dict[int, float] = {}

    def note(number: int, answer: Answer) -> Answer:
        moments.setdefault(number, time.monotonic())
        return answer

    brokers[0].answer = lambda _: note(0, b"")
    brokers[1].answer = lambda packet: note(1, accept_all(packet))
    publish(urls(brokers[:2])).deliver(usage())
    assert moments[1] - moments[0] < CONNECT_TIMEOUT_SECONDS
    brokers[0].wait_for(DISCONNECT)
    assert len(brokers[0].received(CONNECT)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged", [0, 1])
def test_broker_that_acknowledges_nothing_is_left_and_told(
    brokers: list[ScriptedBroker], publish: Publish, expected_warnings: ExpectWarnings, acknowledged: int
) -> None:
    """A broker that freezes after it has accepted the agent is left long before the keepalive ends.

    Thawed later, it finds a DISCONNECT. Otherwise the will would follow the statuses that a cluster has by then.
    """
    expected_warnings("acknowledges nothing")

    def freeze(packet: Packet) -> Answer:
        frozen = packet.kind != CONNECT and len(brokers[0].received(PUBLISH)) > acknowledged
        return b"" if frozen else accept_all(packet)

    brokers[0].answer = freeze
    running = publish(urls(brokers[:2]), protocol="5", keepalive=MAX_KEEPALIVE)
    running.deliver(*(usage(number) for number in range(acknowledged)))
    running.deliver(usage())
    brokers[0].wait_for(DISCONNECT)
    assert [len(broker.received(CONNECT)) for broker in brokers] == [1, 1, 0]
    assert running.counters() == {"waiting": 0, "sent": acknowledged + 1, "dropped": 0}


@pytest.mark.slow
def test_silent_brokers_are_given_time_in_the_end(
    brokers: list[ScriptedBroker], publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """If no broker acknowledges anything, each is left some times. Then one may take as long as it needs."""
    expected_warnings("acknowledges nothing")

    def acknowledge_late(packet: Packet) -> Answer:
        if packet.kind == PINGREQ:  # it comes after the time in which a silent broker is left
            return b"".join(puback(p) for p in brokers[0].received(PUBLISH) if p.connection == packet.connection)
        return b"" if packet.kind == PUBLISH else accept_all(packet)

    brokers[0].answer = acknowledge_late
    brokers[1].answer = lambda packet: b"" if packet.kind == PUBLISH else accept_all(packet)
    publish(urls(brokers[:2]), protocol="5", keepalive=2 * int(FAILOVER_SECONDS)).deliver(usage())
    assert [len(broker.received(CONNECT)) for broker in brokers] == [2, 1, 0]


@pytest.mark.slow
def test_silent_broker_is_not_waited_for(
    brokers: list[ScriptedBroker], publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """The broker that was left for its silence does not get more time in the next pass because it is the last one."""
    expected_warnings("acknowledges nothing", "nobody listens there")
    moments: list[float] = []

    def freeze(packet: Packet) -> Answer:
        if packet.kind == CONNECT and not moments:
            moments.append(time.monotonic())
            return accept_all(packet)
        if packet.kind == CONNECT:
            moments.append(time.monotonic())
        return b""

    brokers[0].answer = freeze
    brokers[1].close()
    running = publish(urls(brokers[:2]), protocol="5")
    running.add(usage())
    running.wait_trouble("does not answer")
    assert len(moments) == 2
    assert time.monotonic() - moments[1] < CONNECT_TIMEOUT_SECONDS


def test_next_address_follows_the_one_that_was_lost(
    brokers: list[ScriptedBroker], publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """After each loss the address after that one is tried first, and after the last one the first."""
    expected_warnings("lost the connection")
    running = publish(urls(brokers))
    for number, broker in enumerate([*brokers, *brokers[:1]], 1):
        running.deliver(usage(number))
        used = [len(each.received(CONNECT)) for each in brokers]
        assert (sum(used), broker.packets[-1].kind) == (number, PUBLISH)
        broker.answer = lambda packet: None if packet.kind == PUBLISH else accept_all(packet)
        running.add(usage())
        broker.wait_for(PUBLISH, len(broker.received(PUBLISH)) + 1)
        broker.answer = accept_all


def test_broker_that_ends_a_new_connection_is_left_at_once(
    brokers: list[ScriptedBroker], publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """A broker that accepts connections and ends them before anything is delivered is followed by the next one."""
    expected_warnings("lost the connection")

    def hang_up(packet: Packet) -> Answer:
        return None if packet.kind == PUBLISH else accept_all(packet)

    brokers[0].answer = brokers[1].answer = hang_up
    publish(urls(brokers)).deliver(usage())
    assert [len(broker.received(CONNECT)) for broker in brokers] == [1, 1, 1]


def test_brokers_that_end_every_connection_are_not_hammered(
    brokers: list[ScriptedBroker],
    publish: Publish,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each address is tried at once, and then there is a wait."""
    expected_warnings("lost the connection")
    for broker in brokers[:2]:
        broker.answer = lambda packet: None if packet.kind == PUBLISH else accept_all(packet)
    running = publish(urls(brokers[:2]))
    running.add(usage())
    wait_until(lambda: "s at the latest" in caplog.text, WAIT_SECONDS, "no wait")
    assert running.connections() == (3, 3)


def test_broker_that_is_not_ready_does_not_lack_the_version(scripted_broker: ScriptedBroker) -> None:
    """NATS speaks MQTT 3.1.1 only. While its cluster elects a leader it closes connections, and that will pass."""
    ready = True

    def answer(packet: Packet) -> Answer:
        if packet.level == 5:
            return connack(5, 0x84)
        return accept_all(packet) if ready else None

    scripted_broker.answer = answer
    settings = BrokerSettings(url=(scripted_broker.url,))
    connector = Connector(settings, "usage-agent", None, Deadline(), WakeupEvent(), Watchdog())
    connector.connect().abort()
    ready = False
    with pytest.raises(BrokerUnreachableError, match="closed the connection"):
        connector.connect()
    ready = True
    connector.connect().abort()
