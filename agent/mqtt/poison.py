"""Messages that a broker answers by closing the connection."""

import logging
import time
from collections.abc import Sequence

from agent.messages.outbox import Delivery
from agent.messages.topics import Message
from agent.mqtt.capabilities import MAX_IN_FLIGHT, MAX_PACKET_BYTES

DEATHS_TO_BLAME = 2
BLAME_WITHIN_SECONDS = 5.0  # seconds from sending a message to a hanging up that is blamed on it

log = logging.getLogger(__name__)


class PoisonMessageDetector:
    """Finds the message that connections die of, so that it does not hold up all others for ever.

    With MQTT 3.1.1 a broker has no other way to say that a message is too large. It tells nobody which one it was:
    answers to earlier ones are lost together with the connection. So after a connection that was lost young, messages
    go one at a time until as many as were unanswered are through, and the one that is alone when the broker hangs up
    is suspected.

    What else goes to its topic is left out as well if it is about as large: each usage of that container would cost
    all others three connections. That holds until a connection that had lasted ends: the broker may be mended then.
    """

    def __init__(self) -> None:
        self._careful = 0  # usages that still go one at a time
        self._suspect: Message | None = None
        self._deaths = 0
        self._sent_at = 0.0
        self._left_out: dict[str, int] = {}  # topics, and the size from which on messages are

    @property
    def window(self) -> int:
        """How many messages may be in flight."""
        return 1 if self._careful else MAX_IN_FLIGHT

    def on_ack(self, delivery: Delivery) -> None:
        """Note that the broker survived a message."""
        if self._careful and delivery.is_usage:
            self._careful -= 1

    def on_disconnect(self, unanswered: Sequence[Delivery], young: bool) -> None:
        """Note the end of a connection, with what was in flight."""
        if not young:
            self._left_out.clear()
        alone = self._careful > 0 and len(unanswered) == 1 and time.monotonic() - self._sent_at < BLAME_WITHIN_SECONDS
        suspect = unanswered[0].message if alone else None
        self._deaths = self._deaths + 1 if suspect is self._suspect else 1
        self._suspect = suspect
        if unanswered and (young or self._careful):
            self._careful = max(1, sum(delivery.is_usage for delivery in unanswered))

    def is_poison(self, message: Message) -> bool:
        """Say, before sending it, whether this message is better left out; logs that, once for each topic."""
        self._sent_at = time.monotonic()
        if len(message.payload) >= self._left_out.get(message.topic, MAX_PACKET_BYTES):
            return True
        if message is not self._suspect or self._deaths < DEATHS_TO_BLAME:
            return False
        log.warning(
            "left out a message on %s, %d bytes: the broker hung up each time it got it; "
            "is it larger than the broker allows, or must the agent not write there?",
            message.topic,
            len(message.payload),
        )
        self._suspect = None
        self._left_out[message.topic] = len(message.payload) * 9 // 10  # usages of one container differ by some digits
        return True
