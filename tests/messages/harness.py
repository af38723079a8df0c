"""Messages and helpers for tests of the outbox."""

from collections.abc import Iterator
from typing import Literal

import pytest

from agent.messages.outbox import Delivery, Outbox
from agent.messages.topics import Message

Policy = Literal["drop_newest", "drop_oldest"]
POLICIES: tuple[Policy, ...] = ("drop_newest", "drop_oldest")
with_both_policies = pytest.mark.parametrize("on_full", POLICIES)


def usage(number: int) -> Message:
    """Return a usage; its payload is the number."""
    return Message("containers/h/c/usage", b"%d" % number, retain=False, qos=1)


def status(topic: str, payload: bytes = b"running", retain: bool = True) -> Message:
    """Return a status."""
    return Message(topic, payload, retain=retain, qos=1)


def take(outbox: Outbox) -> Delivery:
    """Take one message, which must be there."""
    delivery = outbox.take()
    assert delivery is not None
    return delivery


def take_all(outbox: Outbox) -> Iterator[Delivery]:
    """Take messages until there are no more."""
    while (delivery := outbox.take()) is not None:
        yield delivery


def payloads(outbox: Outbox) -> list[bytes]:
    """Take all messages, and return their payloads."""
    return [delivery.message.payload for delivery in take_all(outbox)]


def topics(outbox: Outbox) -> list[str]:
    """Take all messages, and return their topics."""
    return [delivery.message.topic for delivery in take_all(outbox)]
