"""Messages that the broker rejects: they are counted, logged once with the remedy, and do not hold up others."""

from pathlib import Path

import pytest
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import wait_until
from support.fakes.scripted_broker import PUBLISH, Answer, Packet, ScriptedBroker, accept_all, puback

from agent.mqtt.reason_codes import ReasonCode
from mqtt.harness import BASE, USAGE, WAIT_SECONDS, ExpectWarnings, OwnBroker, Publish, status, usage


def test_unauthorized_topic_is_logged_once(
    own_broker: OwnBroker, publish: Publish, short_path: Path, expected_warnings: ExpectWarnings
) -> None:
    """Usages on a topic to which the agent may not write are dropped; the log has the topic and the remedy."""
    rules = short_path / "acl"
    rules.write_text("topic write containers/host/web/usage\n")
    broker = own_broker(f"acl_file {rules}")
    expected_warnings("containers/host/db/usage: not authorized; let the agent's user write to this topic")
    running = publish(broker.url, protocol="5")
    running.deliver(*(usage(number, topic=f"{BASE}/db/usage") for number in range(3)), usage())
    assert running.counters() == {"waiting": 0, "sent": 1, "dropped": 3}


def test_a_rejection_is_a_trouble_until_the_broker_takes_the_topic(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """`usage-agent health` and systemd tell it, although the connection stands and other topics are accepted."""
    codes = {b"1": ReasonCode.NOT_AUTHORIZED}

    def answer(packet: Packet) -> Answer:
        if packet.kind != PUBLISH or packet.body[-1:] not in codes:
            return accept_all(packet)
        return puback(packet, codes[packet.body[-1:]])

    scripted_broker.answer = answer
    expected_warnings("not authorized")
    running = publish(scripted_broker.url)
    running.deliver(usage(1, topic=f"{BASE}/db/usage"), usage(1), usage(2, topic=f"{BASE}/db/usage"))
    assert running.wait_trouble("does not take") == (
        f"the broker does not take messages on {USAGE}: "
        "not authorized; let the agent's user write to this topic, in the broker's access rules"
    )
    codes.clear()
    running.deliver(usage(1))
    wait_until(lambda: running.publisher.trouble is None, WAIT_SECONDS, "the trouble has not ended")


def test_each_reason_is_logged_once(
    scripted_broker: ScriptedBroker,
    publish: Publish,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A topic's rejections are logged once, and once more if the reason changes."""
    codes = {b"1": ReasonCode.QUOTA_EXCEEDED, b"2": ReasonCode.PAYLOAD_FORMAT_INVALID}

    def answer(packet: Packet) -> Answer:
        return puback(packet, codes[packet.body[-1:]]) if packet.kind == PUBLISH else accept_all(packet)

    scripted_broker.answer = answer
    expected_warnings("quota exceeded", "payload format not valid")
    running = publish(scripted_broker.url)
    running.deliver(usage(1), usage(1), usage(2), usage(2))
    warnings = [record for record in caplog.records if "does not take" in record.getMessage()]
    assert len(warnings) == 2
    assert running.counters()["dropped"] == 4


def test_packet_above_limit_is_not_sent(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """The Maximum Packet Size of MQTT 5 is kept to the byte, so the broker never closes the connection over it."""
    limit = 2000
    payload = limit - len(USAGE) - 2 - 2 - 1 - 3  # lengths of topic and properties, packet identifier, fixed header
    broker = own_broker(f"max_packet_size {limit}")
    expected_warnings("packet too large; raise the broker's limit")
    running = publish(broker.url, protocol="5")
    running.deliver(usage(1, size=payload - 1), usage(2, size=payload), usage(3, size=3000), usage(4))
    assert running.counters() == {"waiting": 0, "sent": 2, "dropped": 2}
    assert running.connections() == (1, 0)


def test_poison_message_is_left_out_after_some_connections(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """With MQTT 3.1.1 a broker can only close the connection over a message that is too large."""
    broker = own_broker("max_packet_size 2000")
    expected_warnings("lost the connection", "left out a message on containers/host/web/usage, 3001 bytes")
    running = publish(broker.url, protocol="3.1.1", backoff=0.05)
    running.deliver(status(), usage(1), usage(2, size=3000), usage(3))
    assert running.counters() == {"waiting": 0, "sent": 2, "dropped": 1}
    # One more if the broker closes the first one before it answers the SUBSCRIBE, which may be the cause then.
    assert running.connections()[0] in (4, 5)


def test_invalid_topic_costs_only_its_message(
    broker: Mosquitto, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """A topic that MQTT does not allow is rejected before it is sent, and the connection stays."""
    expected_warnings("topic not valid")
    running = publish(broker.url)
    running.deliver(usage(topic=f"{BASE}/+/usage"), usage())
    assert running.counters() == {"waiting": 0, "sent": 1, "dropped": 1}
    assert running.connections() == (1, 0)
