"""What reaches the broker, in which order, and what is counted."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import wait_until
from support.daemons.subscriber import Subscriber, retained
from support.fakes.scripted_broker import (
    MAXIMUM_QOS,
    PUBLISH,
    RECEIVE_MAXIMUM,
    RETAIN_AVAILABLE,
    Packet,
    ScriptedBroker,
    accept_all,
    connack,
)
from support.fakes.scripted_broker import puback as puback_of
from support.fakes.scripted_broker import suback as suback_of

from mqtt.harness import BASE, STATUS, USAGE, WAIT, RunningPublisher, status, usage

Publish = Callable[..., RunningPublisher]
OwnBroker = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]
ExpectWarnings = Callable[..., None]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_everything_arrives(
    own_broker: OwnBroker, publish: Publish, subscribe: Subscribe, protocol: str, qos: int
) -> None:
    """Every usage arrives once, in its order, and all are counted as sent; the status is retained."""
    broker = own_broker()
    subscriber = subscribe(broker.url, USAGE)
    running = publish(broker.url, protocol=protocol)
    running.deliver(status(), *(usage(number, size=500, qos=qos) for number in range(400)))
    came = subscriber.on(USAGE, count=400)
    assert [int(message.payload) for message in came] == list(range(400))
    assert running.outbox.counters() == {"capacity": 1000, "waiting": 0, "added": 400, "sent": 400, "dropped": 0}
    assert retained(broker.url, f"{BASE}/#") == {STATUS: b"running"}


def test_statuses_first(own_broker: OwnBroker, publish: Publish, subscribe: Subscribe) -> None:
    """Statuses are sent before the usages that wait, whenever the broker comes."""
    broker = own_broker()
    subscriber = subscribe(broker.url, f"{BASE}/#")
    broker.freeze()
    running = publish(broker.url)
    for number in range(100):
        running.outbox.add_usage(usage(number))
    running.announce(status())
    broker.thaw()
    running.deliver()
    assert subscriber.on(USAGE, count=100)
    assert subscriber.messages[0].topic == STATUS


def test_inheritance(own_broker: OwnBroker, publish: Publish, subscribe: Subscribe) -> None:
    """After connecting, what the broker retained before is handed over: not what others or the agent publish since."""
    broker = own_broker()
    other = subscribe(broker.url)
    other.publish(f"{BASE}/old/status", "stopped", retain=True)
    other.publish("containers/another/status", "running", retain=True)
    running = publish(broker.url)
    running.deliver(status(), status("running", f"{BASE}/new/status"), usage())
    assert running.inherited.get(timeout=WAIT) == {f"{BASE}/old/status": b"stopped"}


def test_inheritance_of_rubbish(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A retained topic that is no UTF-8 is passed over; the others are handed over."""
    rubbish, good = b"\x31\x06\x00\x02\xff\xfe\x00x", b"\x31\x09\x00\x05a/b/c\x00x"
    scripted_broker.answer = lambda packet: (
        suback_of(packet) + rubbish + good if packet.kind == 8 else accept_all(packet)
    )
    running = publish(scripted_broker.url)
    assert running.inherited.get(timeout=WAIT) == {"a/b/c": b"x"}


def test_inheritance_ends(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A broker that never ends telling what it retains is listened to for two seconds, and published to meanwhile."""
    flood = b"\x31\x09\x00\x05a/b/c\x00x"

    def answer(packet: Packet) -> bytes | None:
        reply = accept_all(packet)
        return reply if reply is None else reply + (flood if packet.kind == PUBLISH else b"")

    scripted_broker.answer = answer
    running = publish(scripted_broker.url)
    running.deliver(*(usage(number) for number in range(100)))
    while running.inherited.empty():
        running.deliver(usage())
    assert running.inherited.get() == {"a/b/c": b"x"}


def test_refused_subscription(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """Where the agent may not read, it says so once, and publishes all the same."""
    scripted_broker.answer = lambda packet: suback_of(packet, 0x87) if packet.kind == 8 else accept_all(packet)
    expected_warnings("does not let the agent read containers/host/#")
    running = publish(scripted_broker.url)
    running.deliver(status(), usage())
    assert running.inherited.empty()


@pytest.mark.parametrize(("properties", "window"), [(b"", 20), (bytes([RECEIVE_MAXIMUM, 0, 3]), 3)])
def test_window(scripted_broker: ScriptedBroker, publish: Publish, properties: bytes, window: int) -> None:
    """No more than 20 messages are under way at a time, nor more than the broker says it can take."""
    held: list[Packet] = []
    most = 0

    def hold(packet: Packet) -> bytes | None:
        nonlocal most
        if packet.kind == 1:
            return connack(packet.level, 0, properties)
        if packet.kind != PUBLISH:
            return accept_all(packet)
        held.append(packet)
        most = max(most, len(held))
        if len(held) < window:
            return b""
        answer = b"".join(map(puback_of, held))
        held.clear()
        return answer

    scripted_broker.answer = hold
    running = publish(scripted_broker.url)
    for number in range(window * 10):
        running.outbox.add_usage(usage(number))
    running.deliver()
    assert most == window
    assert running.outbox.counters()["sent"] == window * 10


def test_waiting_counts_the_window(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """What the broker has not acknowledged still waits: full is full."""
    scripted_broker.answer = lambda packet: b"" if packet.kind == PUBLISH else accept_all(packet)
    running = publish(scripted_broker.url, capacity=5)
    for number in range(5):
        running.outbox.add_usage(usage(number))
    scripted_broker.wait_for(PUBLISH, 5)
    assert not running.outbox.add_usage(usage())
    assert running.outbox.counters() == {"capacity": 5, "waiting": 5, "added": 6, "sent": 0, "dropped": 1}


def test_broker_without_qos_and_retain(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A broker is given only the QoS and the retaining that it says it can do."""
    properties = bytes([MAXIMUM_QOS, 0, RETAIN_AVAILABLE, 0])
    scripted_broker.answer = lambda packet: (
        connack(packet.level, 0, properties) if packet.kind == 1 else accept_all(packet)
    )
    running = publish(scripted_broker.url)
    running.deliver(status(), usage())
    came = scripted_broker.wait_for(PUBLISH, 2)
    assert [(packet.topic, packet.qos, packet.retain) for packet in came] == [(STATUS, 0, False), (USAGE, 0, False)]


@pytest.mark.parametrize("code", [0x9A, 0x9B])
def test_will_as_the_broker_wants_it(scripted_broker: ScriptedBroker, publish: Publish, code: int) -> None:
    """A broker that refuses a retained will, or its QoS, gets another one at once."""
    retain_flag, qos_flags = 0x20, 0x18

    def strict(packet: Packet) -> bytes | None:
        unwanted = {0x9A: retain_flag, 0x9B: qos_flags}[code]
        return connack(5, code) if packet.kind == 1 and packet.body[7] & unwanted else accept_all(packet)

    scripted_broker.answer = strict
    publish(scripted_broker.url).deliver(usage())
    assert [bool(packet.body[7] & 0x04) for packet in scripted_broker.received(1)] == [True, True]


def test_access_denied(
    own_broker: OwnBroker, publish: Publish, short_path: Path, expected_warnings: ExpectWarnings
) -> None:
    """A topic that the agent may not write to is told once, with the remedy; its usages are dropped."""
    rules = short_path / "acl"
    rules.write_text("topic write containers/host/web/usage\n")
    broker = own_broker(f"acl_file {rules}")
    expected_warnings("containers/host/db/usage: not authorized; let the agent's user write to this topic")
    running = publish(broker.url, protocol="5")
    running.deliver(*(usage(number, topic=f"{BASE}/db/usage") for number in range(3)), usage())
    assert running.outbox.counters() == {"capacity": 1000, "waiting": 0, "added": 4, "sent": 1, "dropped": 3}


def test_refusals_are_told_once(
    scripted_broker: ScriptedBroker,
    publish: Publish,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each topic's refusal is told once, and again when the reason is another one."""
    codes = {b"1": 0x97, b"2": 0x99}

    def refuse(packet: Packet) -> bytes | None:
        return puback_of(packet, codes[packet.body[-1:]]) if packet.kind == PUBLISH else accept_all(packet)

    scripted_broker.answer = refuse
    expected_warnings("quota exceeded", "payload format not valid")
    running = publish(scripted_broker.url)
    running.deliver(usage(1), usage(1), usage(2), usage(2))
    told = [record.getMessage() for record in caplog.records if "does not take" in record.getMessage()]
    assert len(told) == 2
    assert running.outbox.counters()["dropped"] == 4


def test_too_large(own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """A message above the broker's limit is dropped before it is sent: the connection stays, the others arrive."""
    broker = own_broker("max_packet_size 2000")
    expected_warnings("packet too large; raise the broker's limit")
    running = publish(broker.url, protocol="5")
    running.deliver(usage(1), usage(2, size=3000), usage(3, size=3000), usage(4))
    assert running.outbox.counters() == {"capacity": 1000, "waiting": 0, "added": 4, "sent": 2, "dropped": 2}
    assert running.publisher.counters() == {"connects": 1, "disconnects": 0}


def test_largest_that_fits(own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """The size of a packet is known to the byte."""
    limit = 2000
    rest = limit - len(USAGE) - 2 - 2 - 1 - 3  # lengths of topic and properties, packet identifier, fixed header
    broker = own_broker(f"max_packet_size {limit}")
    expected_warnings("packet too large")
    running = publish(broker.url, protocol="5")
    running.deliver(usage(1, size=rest - 1), usage(1, size=rest))
    assert running.outbox.counters()["sent"] == 1
    assert running.outbox.counters()["dropped"] == 1
    assert running.publisher.counters() == {"connects": 1, "disconnects": 0}


def test_poison(own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """With MQTT 3.1.1 a broker can only hang up on a message that is too large; after three times it is left out."""
    broker = own_broker("max_packet_size 2000")
    expected_warnings("lost the connection", "left out a message on containers/host/web/usage, 3001 bytes")
    running = publish(broker.url, protocol="3.1.1", backoff=0.05)
    running.deliver(status(), usage(1), usage(2, size=3000), usage(3))
    assert running.outbox.counters() == {"capacity": 1000, "waiting": 0, "added": 3, "sent": 2, "dropped": 1}
    assert running.publisher.counters()["connects"] == 4


def test_topic_that_is_none(broker: Mosquitto, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """A topic that MQTT does not allow costs its message, not the connection."""
    expected_warnings("topic not valid")
    running = publish(broker.url)
    running.deliver(usage(topic=f"{BASE}/+/usage"), usage())
    assert running.outbox.counters()["sent"] == 1
    assert running.outbox.counters()["dropped"] == 1


def test_pulse(broker: Mosquitto, publish: Publish) -> None:
    """The publisher promises to show up again while it runs, and nothing when it has ended."""
    running = publish(broker.url)
    running.deliver(usage())
    wait_until(lambda: running.watchdog.overdue() == [], WAIT, "overdue")
    running.stop()
    assert running.watchdog.overdue() == []
