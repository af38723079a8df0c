"""What reaches the broker, in which order, and what is counted."""

import pytest
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import wait_until
from support.daemons.subscriber import retained
from support.fakes.scripted_broker import PUBLISH, ScriptedBroker, accept_all

from mqtt.harness import BASE, STATUS, USAGE, WAIT_SECONDS, OwnBroker, Publish, Subscribe, status, usage


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_message_arrives_once_in_order(
    own_broker: OwnBroker, publish: Publish, subscribe: Subscribe, protocol: str, qos: int
) -> None:
    """Every usage arrives once, in order, and is counted as sent; the status is retained."""
    broker = own_broker()
    subscriber = subscribe(broker.url, USAGE)
    running = publish(broker.url, protocol=protocol)
    running.deliver(status(), *(usage(number, size=500, qos=qos) for number in range(400)))
    messages = subscriber.on(USAGE, count=400)
    assert [int(message.payload) for message in messages] == list(range(400))
    assert running.outbox.counters() == {"capacity": 1000, "waiting": 0, "added": 400, "sent": 400, "dropped": 0}
    assert retained(broker.url, f"{BASE}/#") == {STATUS: b"running"}


def test_statuses_are_sent_before_waiting_usages(own_broker: OwnBroker, publish: Publish, subscribe: Subscribe) -> None:
    """When the broker comes back, statuses go before the usages that wait."""
    broker = own_broker()
    subscriber = subscribe(broker.url, f"{BASE}/#")
    broker.freeze()
    running = publish(broker.url)
    running.add(*(usage(number) for number in range(100)), status())
    broker.thaw()
    running.deliver()
    assert subscriber.on(USAGE, count=100)
    assert subscriber.messages[0].topic == STATUS


def test_unacknowledged_usages_fill_the_outbox(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A usage that the broker has not acknowledged still waits, so it takes up capacity."""
    scripted_broker.answer = lambda packet: b"" if packet.kind == PUBLISH else accept_all(packet)
    running = publish(scripted_broker.url, capacity=5)
    running.add(*(usage(number) for number in range(5)))
    scripted_broker.wait_for(PUBLISH, 5)
    assert not running.outbox.add_usage(usage())
    assert running.outbox.counters() == {"capacity": 5, "waiting": 5, "added": 6, "sent": 0, "dropped": 1}


def test_stopped_publisher_is_not_overdue(broker: Mosquitto, publish: Publish) -> None:
    """The watchdog expects the publisher while it runs, and no longer once it has stopped."""
    running = publish(broker.url)
    running.deliver(usage())
    wait_until(lambda: running.watchdog.overdue() == [], WAIT_SECONDS, "overdue")
    running.stop()
    assert running.watchdog.overdue() == []
