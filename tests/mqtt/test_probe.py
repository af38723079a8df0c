"""What `usage-agent check` says of a broker: the CONNACK and the right to publish decide, all else is told."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import retained
from support.fakes.scripted_broker import (
    CONNECT,
    MAXIMUM_QOS,
    PUBLISH,
    SUBSCRIBE,
    Answer,
    Packet,
    ScriptedBroker,
    accept_all,
    connack,
    puback,
    suback,
)

from agent.mqtt.reason_codes import ReasonCode
from mqtt.harness import BASE, OwnBroker, Publish, Subscribe, probe_lines, usage

MAY_PUBLISH = f"ok the agent may publish below {BASE}/"
NOT_READ = f"note the agent may not read {BASE}/#: what it left retained there before stays uncorrected; all else works"

Script = Callable[[Packet], Answer]


def with_rules(own_broker: OwnBroker, directory: Path, rules: str) -> Mosquitto:
    file = directory / "acl"
    file.write_text(rules)
    return own_broker(f"acl_file {file}")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_probe_names_broker_and_leaves_nothing(own_broker: OwnBroker, subscribe: Subscribe, protocol: str) -> None:
    """Address, versions and rights are told. The only message is below the host's topics, and is not retained."""
    broker = own_broker()
    subscriber = subscribe(broker.url, "containers/#")
    accepted, rights = probe_lines(broker.url, protocol=protocol)
    assert re.fullmatch(
        rf"ok {broker.url} accepts the agent with MQTT {re.escape(protocol)} \(mosquitto version .*\)", accepted
    )
    assert rights == MAY_PUBLISH
    assert [message.topic for message in subscriber.on(f"{BASE}/check")] == [f"{BASE}/check"]
    assert {message.topic for message in subscriber.messages} == {f"{BASE}/check"}
    assert retained(broker.url, "containers/#") == {}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.slow
def test_account_without_write_access_fails(own_broker: OwnBroker, short_path: Path, protocol: str) -> None:
    """With MQTT 3.1.1 mosquitto acknowledges what it forbids: only the missing message tells."""
    broker = with_rules(own_broker, short_path, "topic read #\n")
    accepted, failed = probe_lines(broker.url, protocol=protocol)
    assert accepted.startswith("ok ")
    assert failed.startswith(f"FAIL {broker.url} ")
    assert f"{BASE}/check (client id usage-agent-host-check)" in failed
    assert "let the agent's user write" in failed


def test_account_that_may_only_write_passes(own_broker: OwnBroker, short_path: Path) -> None:
    """With MQTT 5 the broker's answer to the message decides. Nothing needs to be readable."""
    broker = with_rules(own_broker, short_path, f"topic write {BASE}/#\n")
    assert probe_lines(broker.url, protocol="5") == [f"ok {broker.url} accepts the agent with MQTT 5", MAY_PUBLISH]


def mqtt_3_1_1(packet: Packet) -> Answer:
    """Answer like an MQTT 3.1.1 broker that accepts everything, and delivers each message back to its sender."""
    match packet.kind:
        case 3:  # PUBLISH: once more with QoS 0, so without the packet identifier
            topic, payload = packet.body[: 2 + len(packet.topic)], packet.body[4 + len(packet.topic) :]
            return bytes([0x40, 2]) + packet.packet_id + bytes([0x30, len(topic + payload)]) + topic + payload
        case 8:
            return bytes([0x90, 3]) + packet.packet_id + b"\0"
    return accept_all(packet)


def refuse_suback(packet: Packet) -> Answer:
    return bytes([0x90, 3]) + packet.packet_id + b"\x80" if packet.kind == SUBSCRIBE else mqtt_3_1_1(packet)


def hang_up_at_subscribe(packet: Packet) -> Answer:
    return None if packet.kind == SUBSCRIBE else mqtt_3_1_1(packet)


@pytest.mark.parametrize("script", [refuse_suback, hang_up_at_subscribe])
def test_unknown_is_told_as_unknown(scripted_broker: ScriptedBroker, script: Script) -> None:
    """Without a subscription nobody can know with MQTT 3.1.1 whether the agent may publish: that is no failure."""
    scripted_broker.answer = script
    accepted, warning, note = probe_lines(scripted_broker.url, protocol="3.1.1")
    assert accepted.startswith(f"ok {scripted_broker.url} accepts the agent with MQTT 3.1.1")
    assert warning.startswith(f"warn whether the agent may publish below {BASE}/ cannot be known: MQTT 3.1.1")
    assert note == NOT_READ


def test_subscription_that_ends_the_connection_is_a_note(scripted_broker: ScriptedBroker) -> None:
    """With MQTT 5 a broker that hangs up at a subscription has accepted the message before."""
    scripted_broker.answer = lambda packet: None if packet.kind == SUBSCRIBE else accept_all(packet)
    assert probe_lines(scripted_broker.url) == [
        f"ok {scripted_broker.url} accepts the agent with MQTT 5",
        MAY_PUBLISH,
        NOT_READ,
    ]
    assert len(scripted_broker.received(CONNECT)) == 1


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_message_that_ends_the_connection_fails(scripted_broker: ScriptedBroker, protocol: str) -> None:
    """A broker that hangs up at a topic that the agent may not use is not called unreachable."""
    scripted_broker.answer = lambda packet: (
        None if packet.kind == PUBLISH else accept_all(packet) if protocol == "5" else mqtt_3_1_1(packet)
    )
    failed = probe_lines(scripted_broker.url, protocol=protocol)[-1]
    assert failed.startswith(f"FAIL {scripted_broker.url} ends the connection because of a message on {BASE}/check")
    assert "let the agent's user write there, in the broker's access rules" in failed


def test_refused_version_question_does_not_matter(scripted_broker: ScriptedBroker) -> None:
    """A broker that forbids `$SYS` is as good as any other, also if it hangs up."""

    def answer(packet: Packet) -> Answer:
        return None if packet.kind == SUBSCRIBE and b"$SYS" in packet.body else accept_all(packet)

    scripted_broker.answer = answer
    accepted, rights = probe_lines(scripted_broker.url)
    assert "it does not tell this user its version, which is no matter" in accepted
    assert rights == MAY_PUBLISH


def test_broker_without_acknowledgements_has_to_deliver(scripted_broker: ScriptedBroker) -> None:
    """A broker whose largest QoS is 0 acknowledges nothing: the message has to come back, as with MQTT 3.1.1."""

    def answer(packet: Packet) -> Answer:
        match packet.kind:
            case 1:
                return connack(packet.level, 0, bytes([MAXIMUM_QOS, 0]))
            case 3:
                return bytes([0x30, len(packet.body)]) + packet.body
        return accept_all(packet)

    scripted_broker.answer = answer
    assert MAY_PUBLISH in probe_lines(scripted_broker.url, protocol="5")


def test_client_id_of_the_check_is_told(scripted_broker: ScriptedBroker) -> None:
    """A broker that does not accept the id of the check may accept the agent: that is no failure, but unknown."""
    scripted_broker.answer = lambda packet: (
        connack(packet.level, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID) if packet.kind == CONNECT else b""
    )
    (line,) = probe_lines(scripted_broker.url, client_id="only-this", protocol="5")
    assert line.startswith("warn ")
    assert "the client id of this check, only-this-check, not the agent's own" in line


@pytest.mark.parametrize("answer", [connack(5, ReasonCode.NOT_AUTHORIZED), None], ids=["refused", "closed"])
def test_refusal_that_may_mean_the_client_id_says_so(scripted_broker: ScriptedBroker, answer: Answer) -> None:
    """Brokers that allow certain client ids only refuse others as not authorized, or close the connection."""
    scripted_broker.answer = lambda packet: answer if packet.kind == CONNECT else accept_all(packet)
    (line,) = probe_lines(scripted_broker.url, client_id="only-this", protocol="5")
    assert line.startswith("FAIL ")
    assert "this check connects as only-this-check" in line


def test_refused_message_is_a_failure(scripted_broker: ScriptedBroker) -> None:
    """With MQTT 5 a message that is refused is told with the broker's reason."""
    scripted_broker.answer = lambda packet: (
        puback(packet, ReasonCode.QUOTA_EXCEEDED) if packet.kind == PUBLISH else accept_all(packet)
    )
    assert "quota exceeded; raise agent.interval" in probe_lines(scripted_broker.url)[-1]


def test_refused_subscription_is_a_note(scripted_broker: ScriptedBroker) -> None:
    """An agent that may not read its own topics can publish all the same."""
    scripted_broker.answer = lambda packet: (
        suback(packet, ReasonCode.NOT_AUTHORIZED) if packet.kind == SUBSCRIBE else accept_all(packet)
    )
    assert probe_lines(scripted_broker.url)[1:] == [MAY_PUBLISH, NOT_READ]


def test_running_agent_keeps_its_connection(broker: Mosquitto, publish: Publish) -> None:
    """A probe has a client id of its own, so the broker does not end the running agent's connection."""
    running = publish(broker.url, client_id="probed")
    running.deliver(usage())
    probe_lines(broker.url, client_id="probed")
    running.deliver(usage())
    assert running.connections() == (1, 0)
