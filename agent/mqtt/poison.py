"""Detecting poison messages: those to which a broker's only answer is to close the connection."""

import logging
import time
from collections.abc import Sequence

from agent.messages.outbox import Delivery
from agent.messages.topics import Message
from agent.mqtt.capabilities import MAX_IN_FLIGHT, MAX_PACKET_BYTES

DISCONNECTS_TO_BLAME = 2  # in a row, each with the same message alone in flight
BLAME_WITHIN_SECONDS = 5.0  # from sending a message to the disconnect for which it may be blamed

log = logging.getLogger(__name__)


class PoisonMessageDetector:
    """Finds the message that makes the broker close the connection, so that it does not block all others for ever.

    With MQTT 3.1.1 a broker has no other way to reject a message that is too large. The broker does not say which
    message it was, and acknowledgements of earlier ones are lost with the connection. So after an unstable connection
    has ended with n usages unacknowledged, the next n usages are sent one at a time. If two connections in a row end
    within seconds after the same message was sent alone, this message is left out.

    Once a message is found, others on its topic are left out too if they are about as large. Each usage of that
    container would cost all other containers three connections: one after which it is suspected, and two to be found.
    This holds until a stable connection ends: the broker's limit may have been raised by then.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._one_at_a_time = 0  # usages that still have to go alone
        self._suspect: Message | None = None
        self._disconnects = 0  # in a row, with the suspect alone in flight
        self._sent_at = 0.0
        self._poison_bytes: dict[str, int] = {}  # by topic: messages of this size and above are left out

    @property
    def max_in_flight(self) -> int:
        """How many messages may be in flight: 1 while a poison message is searched for, else MAX_IN_FLIGHT.

        The broker's own limit is not applied here, but by the publisher (`Capabilities.max_in_flight`).
        """
        return 1 if self._one_at_a_time else MAX_IN_FLIGHT

    def on_ack(self, delivery: Delivery) -> None:
        """Note that the broker has answered a message."""
        if self._one_at_a_time and delivery.is_usage:
            self._one_at_a_time -= 1

    def on_disconnect(self, in_flight: Sequence[Delivery], stable: bool) -> None:
        """Note the end of a connection.

        Args:
            in_flight: The messages that were not acknowledged.
            stable: Whether the connection had been open for a while.
        """
        if stable:
            self._poison_bytes.clear()
        alone = (
            self._one_at_a_time > 0 and len(in_flight) == 1 and time.monotonic() - self._sent_at < BLAME_WITHIN_SECONDS
        )
        suspect = in_flight[0].message if alone else None
        self._disconnects = self._disconnects + 1 if suspect is self._suspect else 1
        self._suspect = suspect
        if in_flight and (not stable or self._one_at_a_time):
            self._one_at_a_time = max(1, sum(delivery.is_usage for delivery in in_flight))

    def note_sent(self) -> None:
        """Note that a message was sent."""
        self._sent_at = time.monotonic()

    def is_poison(self, message: Message) -> bool:
        """Return whether to leave a message out, before it is sent. Logs that once for each topic."""
        if len(message.payload) >= self._poison_bytes.get(message.topic, MAX_PACKET_BYTES):
            return True
        if message is not self._suspect or self._disconnects < DISCONNECTS_TO_BLAME:
            return False
        log.warning(
            "left out a message on %s, %d bytes: the broker closed the connection each time this message was sent; "
            "is it larger than the broker allows, or must the agent not write there?",
            message.topic,
            len(message.payload),
        )
        self._suspect = None
        # Not the full size: usages of one container differ by some digits.
        self._poison_bytes[message.topic] = len(message.payload) * 9 // 10
        return True
