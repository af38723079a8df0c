"""What the agent changes for a broker: version of MQTT, will, QoS, retain flag, number of messages in flight."""

import pytest
from support.fakes.scripted_broker import (
    CONNECT,
    MAXIMUM_QOS,
    PUBLISH,
    RECEIVE_MAXIMUM,
    RETAIN_AVAILABLE,
    Answer,
    Packet,
    ScriptedBroker,
    accept_all,
    connack,
    puback,
)

from agent.mqtt.reason_codes import ReasonCode
from mqtt.harness import STATUS, USAGE, Publish, connect_error, status, usage

CONNECT_FLAGS = 7  # index in a CONNECT (MQTT 5, section 3.1.2.3)
WILL_FLAG, WILL_QOS, WILL_RETAIN = 0x04, 0x18, 0x20


@pytest.mark.parametrize("refusal", [connack(5, 0x84), connack(4, 1), None], ids=["5", "3.1.1", "closed"])
def test_old_broker_gets_mqtt_3_1_1_at_once(scripted_broker: ScriptedBroker, publish: Publish, refusal: Answer) -> None:
    """A broker without MQTT 5 may refuse it in its own CONNACK or in that of MQTT 5, or close the connection."""

    def answer(packet: Packet) -> Answer:
        if packet.kind == CONNECT:
            return connack(4) if packet.level == 4 else refusal
        return bytes([0x40, 2]) + packet.packet_id if packet.kind == PUBLISH else b""

    scripted_broker.answer = answer
    publish(scripted_broker.url, protocol="auto").deliver(usage())
    assert [packet.level for packet in scripted_broker.received(CONNECT)] == [5, 4]


def test_server_that_closes_each_connection_is_questioned(scripted_broker: ScriptedBroker) -> None:
    """A server that closes the connection for both versions may not be an MQTT broker."""
    scripted_broker.answer = lambda _: None
    assert "is that an MQTT broker?" in str(connect_error(scripted_broker.url))
    assert [packet.level for packet in scripted_broker.received(CONNECT)] == [5, 4]


def test_configured_protocol_is_the_only_one_tried(scripted_broker: ScriptedBroker) -> None:
    """Without `auto` there is no fallback, and the remedy names the key."""
    scripted_broker.answer = lambda packet: connack(5, 0x84) if packet.level == 5 else accept_all(packet)
    assert "broker.protocol" in str(connect_error(scripted_broker.url, protocol="5"))
    assert [packet.level for packet in scripted_broker.received(CONNECT)] == [5]


@pytest.mark.parametrize(
    ("code", "refused_flags"),
    [(ReasonCode.RETAIN_NOT_SUPPORTED, WILL_RETAIN), (ReasonCode.QOS_NOT_SUPPORTED, WILL_QOS)],
)
def test_refused_will_is_downgraded_at_once(
    scripted_broker: ScriptedBroker, publish: Publish, code: ReasonCode, refused_flags: int
) -> None:
    """A broker that refuses the will's retain flag or QoS gets a will without it."""

    def answer(packet: Packet) -> Answer:
        refused = packet.kind == CONNECT and packet.body[CONNECT_FLAGS] & refused_flags
        return connack(5, code) if refused else accept_all(packet)

    scripted_broker.answer = answer
    publish(scripted_broker.url).deliver(usage())
    flags = [packet.body[CONNECT_FLAGS] for packet in scripted_broker.received(CONNECT)]
    assert [bool(each & WILL_FLAG) for each in flags] == [True, True]


def test_unsupported_qos_and_retain_are_left_out(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A broker gets only the QoS and the retain flag that its CONNACK allows."""
    properties = bytes([MAXIMUM_QOS, 0, RETAIN_AVAILABLE, 0])
    scripted_broker.answer = lambda packet: (
        connack(packet.level, 0, properties) if packet.kind == CONNECT else accept_all(packet)
    )
    publish(scripted_broker.url).deliver(status(), usage())
    packets = scripted_broker.wait_for(PUBLISH, 2)
    assert [(each.topic, each.qos, each.retain) for each in packets] == [(STATUS, 0, False), (USAGE, 0, False)]


@pytest.mark.parametrize(("properties", "limit"), [(b"", 20), (bytes([RECEIVE_MAXIMUM, 0, 3]), 3)])
def test_messages_in_flight_are_limited(
    scripted_broker: ScriptedBroker, publish: Publish, properties: bytes, limit: int
) -> None:
    """At most 20 messages are in flight, or fewer if the broker's Receive Maximum says so."""
    unacknowledged: list[Packet] = []
    most = 0

    def answer(packet: Packet) -> Answer:
        nonlocal most
        if packet.kind == CONNECT:
            return connack(packet.level, 0, properties)
        if packet.kind != PUBLISH:
            return accept_all(packet)
        unacknowledged.append(packet)
        most = max(most, len(unacknowledged))
        if len(unacknowledged) < limit:
            return b""
        acknowledgements = b"".join(map(puback, unacknowledged))
        unacknowledged.clear()
        return acknowledgements

    scripted_broker.answer = answer
    running = publish(scripted_broker.url)
    running.deliver(*(usage(number) for number in range(limit * 10)))
    assert most == limit
    assert running.counters()["sent"] == limit * 10
