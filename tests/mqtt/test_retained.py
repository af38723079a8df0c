"""Reading what the broker retains from earlier runs of the agent."""

from collections.abc import Callable

import pytest
from support.fakes.scripted_broker import (
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    Answer,
    Packet,
    ScriptedBroker,
    accept_all,
    disconnect,
    suback,
)

from agent.mqtt.reason_codes import ReasonCode
from mqtt.harness import BASE, WAIT_SECONDS, ExpectWarnings, OwnBroker, Publish, Subscribe, status, usage

RETAINED_ABC = b"\x31\x09\x00\x05a/b/c\x00x"  # a retained PUBLISH with the topic a/b/c and the payload x
RETAINED_NOT_UTF8 = b"\x31\x06\x00\x02\xff\xfe\x00x"


def test_only_earlier_retained_messages_are_read(own_broker: OwnBroker, publish: Publish, subscribe: Subscribe) -> None:
    """What other agents retain, and what this agent publishes meanwhile, is not read."""
    broker = own_broker()
    earlier = subscribe(broker.url)
    earlier.publish(f"{BASE}/old/status", "stopped", retain=True)
    earlier.publish("containers/another/status", "running", retain=True)
    running = publish(broker.url)
    running.deliver(status(), status("running", f"{BASE}/new/status"), usage())
    assert running.retained.get(timeout=WAIT_SECONDS) == {f"{BASE}/old/status": b"stopped"}


def test_topic_that_is_not_utf8_is_ignored(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A retained topic that is not UTF-8 does not keep the others from being read."""

    def answer(packet: Packet) -> Answer:
        if packet.kind == SUBSCRIBE:
            return suback(packet) + RETAINED_NOT_UTF8 + RETAINED_ABC
        return accept_all(packet)

    scripted_broker.answer = answer
    running = publish(scripted_broker.url)
    assert running.retained.get(timeout=WAIT_SECONDS) == {"a/b/c": b"x"}


def test_endless_retained_messages_are_cut_off(scripted_broker: ScriptedBroker, publish: Publish) -> None:
    """A broker that never stops sending retained messages is read for two seconds, and published to meanwhile."""

    def answer(packet: Packet) -> Answer:
        reply = accept_all(packet)
        return reply + RETAINED_ABC if packet.kind == PUBLISH and reply is not None else reply

    scripted_broker.answer = answer
    running = publish(scripted_broker.url)
    running.deliver(*(usage(number) for number in range(100)))
    while running.retained.empty():
        running.deliver(usage())
    assert running.retained.get() == {"a/b/c": b"x"}


def test_refused_subscription_is_logged_once(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """An agent that may not read its own topics logs that, takes nothing for retained, and publishes all the same."""
    scripted_broker.answer = lambda packet: (
        suback(packet, ReasonCode.NOT_AUTHORIZED) if packet.kind == SUBSCRIBE else accept_all(packet)
    )
    expected_warnings("does not let the agent read containers/host/#")
    running = publish(scripted_broker.url)
    running.deliver(status(), usage())
    assert running.retained.get(timeout=WAIT_SECONDS) == {}


def end_at(*kinds: int) -> Callable[[Packet], Answer]:
    """Return answers that end a connection at the first packet of each of these types, one after the other."""
    left = list(kinds)

    def answer(packet: Packet) -> Answer:
        if left and packet.kind == left[0]:
            del left[0]
            return None
        return accept_all(packet)

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("end", [None, disconnect(ReasonCode.NOT_AUTHORIZED)], ids=["closed", "with a reason"])
def test_subscription_that_ends_the_connection_is_left_out(
    scripted_broker: ScriptedBroker,
    publish: Publish,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
    end: Answer,
) -> None:
    """The next connection comes at once and does without. After a second time, so do later ones."""
    denied = "does not let the agent read containers/host/#"
    expected_warnings(denied, "lost the connection")
    publish_ends = end_at()
    scripted_broker.answer = lambda packet: end if packet.kind == SUBSCRIBE else publish_ends(packet)
    running = publish(scripted_broker.url, protocol="5")
    running.deliver(status(), *(usage(number) for number in range(50)))
    for _ in range(2):
        assert running.retained.get(timeout=WAIT_SECONDS) == {}
        publish_ends = end_at(PUBLISH)
        running.deliver(usage())
    assert len(scripted_broker.received(SUBSCRIBE)) == 2
    assert running.counters() == {"waiting": 0, "sent": 52, "dropped": 0}
    assert caplog.text.count(denied) == 1


def test_subscription_is_not_blamed_for_a_broker_that_ends_every_connection(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """If the connection without the subscription ends too, that was not the cause: it is subscribed again."""
    expected_warnings("lost the connection")
    scripted_broker.answer = end_at(SUBSCRIBE, PUBLISH)
    running = publish(scripted_broker.url, protocol="5", backoff=0.2)
    running.deliver(status())
    assert running.retained.get(timeout=WAIT_SECONDS) == {}
    assert len(scripted_broker.received(CONNECT)) == 3
    assert len(scripted_broker.received(SUBSCRIBE)) == 2
