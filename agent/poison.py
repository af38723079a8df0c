"""Messages that a broker answers by closing the connection."""

import logging

from agent.messages import Message

TIMES = 3

_log = logging.getLogger(__name__)


class Poison:
    """Finds the message that a connection dies of, again and again, so that it does not hold up all others for ever.

    With MQTT 3.1.1 a broker has no other way to say that a message is too large. Brokers answer in order: the message
    to suspect is the oldest unanswered one.
    """

    def __init__(self) -> None:
        self._suspect: Message | None = None
        self._deaths = 0

    def died(self, oldest: Message | None) -> None:
        """Note the end of a connection, and what was its oldest unanswered message."""
        self._deaths = self._deaths + 1 if oldest is not None and oldest is self._suspect else 1
        self._suspect = oldest

    def is_poison(self, message: Message) -> bool:
        """Whether so many connections in a row have died of this message that it is better left out; logs that."""
        if message is not self._suspect or self._deaths < TIMES:
            return False
        _log.warning(
            "left out a message on %s, %d bytes: the broker closed the connection %d times on getting it; "
            "is it larger than the broker allows?",
            message.topic,
            len(message.payload),
            self._deaths,
        )
        self._suspect = None
        return True
