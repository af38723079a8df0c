"""Stopping the publisher: what is still delivered, what the will says, and that the deadline is kept."""

import pytest
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.subscriber import retained
from support.fakes.scripted_broker import CONNECT, DISCONNECT, PUBLISH, ScriptedBroker, accept_all, connack

from agent.mqtt.connection import CONNECT_TIMEOUT_SECONDS
from agent.mqtt.reason_codes import ReasonCode
from mqtt.harness import (
    BASE,
    NEVER_SECONDS,
    STATUS,
    USAGE,
    WAIT_SECONDS,
    ExpectWarnings,
    OwnBroker,
    Publish,
    Subscribe,
    status,
    usage,
)


def test_waiting_messages_are_delivered(own_broker: OwnBroker, publish: Publish, subscribe: Subscribe) -> None:
    """All that waits is delivered before the connection ends, without a will and long before the deadline."""
    broker = own_broker()
    subscriber = subscribe(broker.url, f"{BASE}/#")
    running = publish(broker.url)
    running.add(status(), *(usage(number) for number in range(500)), status("stopped"))
    running.stop(NEVER_SECONDS)
    assert running.outbox.idle
    assert len(subscriber.on(USAGE, count=500)) == 500
    assert retained(broker.url, STATUS) == {STATUS: b"stopped"}
    assert not running.publisher.connected


def test_unacknowledged_usage_waits_at_deadline(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A broker that acknowledges nothing is waited for until the deadline; then the connection ends cleanly."""
    scripted_broker.answer = lambda packet: b"" if packet.kind == PUBLISH else accept_all(packet)
    running = publish(scripted_broker.url)
    running.add(usage())
    scripted_broker.wait_for(PUBLISH)
    assert running.stop(0.5) >= 0.5
    assert running.counters() == {"waiting": 1, "sent": 0, "dropped": 0}
    assert scripted_broker.wait_for(DISCONNECT), "all statuses are delivered, so no will is needed"


def test_unacknowledged_status_leaves_the_will(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """If not even the statuses were acknowledged, no DISCONNECT is sent: the broker publishes the will."""
    scripted_broker.answer = lambda packet: b"" if packet.kind == PUBLISH else accept_all(packet)
    running = publish(scripted_broker.url)
    running.add(status("stopped"))
    scripted_broker.wait_for(PUBLISH)
    running.stop(0.2)
    scripted_broker.close()
    assert scripted_broker.received(DISCONNECT) == []


def test_thawed_broker_publishes_the_will(own_broker: OwnBroker, publish: Publish, subscribe: Subscribe) -> None:
    """If the agent stops while the broker is frozen, the broker publishes the will once it runs again."""
    broker = own_broker()
    subscriber = subscribe(broker.url, STATUS)
    running = publish(broker.url)
    running.deliver(status())
    broker.freeze()
    running.add(*(status(f"stopped {number}") for number in range(3)))  # more than the broker reads before the end
    running.stop(0.3)
    broker.thaw()
    subscriber.wait_for(lambda message: message.payload == b"lost", WAIT_SECONDS)


def test_absent_broker_does_not_delay_stop(publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """Without a broker one last attempt is made, and the deadline is not waited for."""
    expected_warnings("nobody listens there")
    running = publish(f"mqtt://127.0.0.1:{free_port()}")
    running.add(status())
    running.wait_trouble("nobody listens there")
    running.stop(NEVER_SECONDS)


def test_last_attempt_delivers_everything(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """A broker that has refused the agent is tried once more when the agent stops."""
    expected_warnings("refuses the agent")
    scripted_broker.answer = lambda packet: (
        connack(5, ReasonCode.NOT_AUTHORIZED) if packet.kind == CONNECT else accept_all(packet)
    )
    running = publish(scripted_broker.url, protocol="5")
    running.add(status("stopped"), usage())
    running.wait_trouble("refuses the agent")
    scripted_broker.answer = accept_all
    running.stop(NEVER_SECONDS)
    assert running.outbox.idle
    assert [packet.topic for packet in scripted_broker.received(PUBLISH)] == [STATUS, USAGE]


@pytest.mark.parametrize("connected", [True, False])
def test_frozen_broker_does_not_delay_stop(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings, connected: bool
) -> None:
    """The deadline is kept with a frozen broker, whether it had accepted the agent or is still being connected to."""
    expected_warnings("is it frozen")
    broker = own_broker()
    if not connected:
        broker.freeze()
    running = publish(broker.url)
    if connected:
        running.wait_connected()
        broker.freeze()
    running.add(status())
    assert running.stop(1) < CONNECT_TIMEOUT_SECONDS


def test_publisher_may_be_stopped_twice(broker: Mosquitto, publish: Publish) -> None:
    """Stopping twice is harmless, also with a deadline that has passed."""
    running = publish(broker.url)
    running.stop(-1)
    running.stop(-1)
    assert running.outbox.idle
