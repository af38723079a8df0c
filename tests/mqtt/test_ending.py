"""The ending: what leaves before it, what subscribers are told, and that it never takes longer than it may."""

from collections.abc import Callable

import pytest
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.subscriber import Subscriber, retained
from support.fakes.scripted_broker import CONNECT, DISCONNECT, PUBLISH, ScriptedBroker, accept_all

from mqtt.harness import BASE, STATUS, USAGE, WAIT, RunningPublisher, status, usage

Publish = Callable[..., RunningPublisher]
OwnBroker = Callable[..., Mosquitto]
ExpectWarnings = Callable[..., None]
MUCH = 20.0  # seconds; nothing here may need nearly as much


def test_all_leaves(own_broker: OwnBroker, publish: Publish) -> None:
    """All that waits is delivered, then the connection ends cleanly, at once: no will."""
    broker = own_broker()
    subscriber = Subscriber(broker.url, f"{BASE}/#")
    running = publish(broker.url)
    running.announce(status())
    for number in range(500):
        running.outbox.add_usage(usage(number))
    running.announce(status("stopped"))
    assert running.stop(MUCH) < MUCH
    assert running.outbox.idle
    assert len(subscriber.on(USAGE, count=500)) == 500
    assert retained(broker.url, STATUS) == {STATUS: b"stopped"}
    assert not running.publisher.connected
    subscriber.close()


def test_deadline(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A broker that answers for nothing is left at the deadline; what it did not acknowledge still waits."""
    scripted_broker.answer = lambda packet: b"" if packet.kind == PUBLISH else accept_all(packet)
    running = publish(scripted_broker.url)
    running.outbox.add_usage(usage())
    scripted_broker.wait_for(PUBLISH)
    assert 0.5 <= running.stop(0.5) < MUCH
    assert running.outbox.counters()["waiting"] == 1
    assert scripted_broker.wait_for(DISCONNECT), "all statuses are out, so there is a goodbye"


def test_no_goodbye_without_statuses(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """Where not even the statuses got through there is no goodbye: then the will tells subscribers what happened."""
    scripted_broker.answer = lambda packet: b"" if packet.kind == PUBLISH else accept_all(packet)
    running = publish(scripted_broker.url)
    running.announce(status("stopped"))
    scripted_broker.wait_for(PUBLISH)
    running.stop(0.2)
    scripted_broker.close()
    assert scripted_broker.received(DISCONNECT) == []


def test_will_after_a_freeze(own_broker: OwnBroker, publish: Publish) -> None:
    """An agent that ends while the broker is frozen: when that reads on, it publishes the will."""
    broker = own_broker()
    subscriber = Subscriber(broker.url, STATUS)
    running = publish(broker.url)
    running.deliver(status())
    broker.freeze()
    for number in range(3):  # more than the broker will read before it sees the end
        running.announce(status(f"stopped {number}"))
    assert running.stop(0.3) < MUCH
    broker.thaw()
    subscriber.wait_for(lambda message: message.payload == b"lost", WAIT)
    subscriber.close()


def test_broker_away(publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """Where there is no broker, one last attempt is made and the ending does not wait for the deadline."""
    expected_warnings("nobody listens there")
    running = publish(f"mqtt://127.0.0.1:{free_port()}")
    running.announce(status())
    running.wait_trouble("nobody listens there")
    assert running.stop(MUCH) < MUCH


def test_last_chance(scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """A broker whose refusal is being waited out is tried once more at the end, and gets everything."""
    expected_warnings("refuses the agent")
    scripted_broker.answer = lambda packet: b"\x20\x03\x00\x87\x00" if packet.kind == CONNECT else accept_all(packet)
    running = publish(scripted_broker.url, protocol="5")
    running.announce(status("stopped"))
    running.outbox.add_usage(usage())
    running.wait_trouble("refuses the agent")
    scripted_broker.answer = accept_all
    assert running.stop(MUCH) < MUCH
    assert running.outbox.idle
    assert [packet.topic for packet in scripted_broker.received(PUBLISH)] == [STATUS, USAGE]


@pytest.mark.parametrize("connected", [True, False])
def test_frozen(own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings, connected: bool) -> None:
    """A frozen broker, whether it had accepted the agent or not, does not hold the ending up beyond its deadline."""
    expected_warnings("is it frozen")
    broker = own_broker()
    if not connected:
        broker.freeze()
    running = publish(broker.url)
    if connected:
        running.wait_connected()
        broker.freeze()
    running.announce(status())
    assert running.stop(1) < 4


def test_stopped_before_it_runs(broker: Mosquitto, publish: Publish) -> None:
    """Stopping twice, or with a deadline that has passed, ends it too."""
    running = publish(broker.url)
    running.stop(-1)
    running.stop(-1)
    assert running.outbox.idle
