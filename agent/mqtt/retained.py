"""Reading what the broker retains of the agent's topics, once after each connect.

The broker is the agent's only memory of earlier runs. The way of a retained message:

    Connection.take_retained() ──► RetainedReader.poll() ──► each consumer, with all messages by topic

Publishing does not depend on it. A broker may refuse the subscription. Or it may end the connection instead of
answering: then the next connection, which is made at once, does not subscribe. If that one lasts, the subscription is
blamed. After it was blamed twice it is not tried again for RESUBSCRIBE_SECONDS.
"""

import logging
import time
from collections.abc import Callable, Sequence
from math import inf

from agent.mqtt.connection import Connection

QUIET_SECONDS = 0.5  # all retained messages have come if no other follows for so long: MQTT does not mark the last
MAX_READ_SECONDS = 2.0  # for all of them together

RESUBSCRIBE_SECONDS = 3600.0  # until the next subscription, once subscriptions are blamed for ended connections

RetainedConsumer = Callable[[dict[str, bytes]], None]
"""Takes the payloads of the retained messages by topic. Called on the publisher's thread: it must not block."""

log = logging.getLogger(__name__)


class RetainedReader:
    """Collects the retained messages while publishing goes on, then hands them to the consumers. Not thread-safe.

    Args:
        topic_filter: Topic filter of the agent's own topics.
        consumers: Called in their order with what was collected.
    """

    def __init__(self, topic_filter: str, consumers: Sequence[RetainedConsumer]) -> None:
        self._topic_filter = topic_filter
        self._consumers = consumers
        self._retained: dict[str, bytes] = {}
        self._done = False
        self._deadline: float | None = None
        self._quiet_at = inf
        self._warned = False
        self._suspected = False  # whether the last connection was ended while its subscription was unanswered
        self._denials = 0
        self._resubscribe_at = -inf  # monotonic; no subscription before

    def start(self, connection: Connection) -> None:
        """Subscribe, unless the subscription is blamed for the end of an earlier connection.

        Call this before anything is published: only what the broker had before is to be read.
        """
        self._retained = {}
        self._done = self._suspected or time.monotonic() < self._resubscribe_at
        self._deadline = None
        self._quiet_at = inf
        if not self._done:
            connection.subscribe(self._topic_filter)

    def on_disconnect(self, awaited_suback: bool) -> None:
        """Note the end of a connection, and whether the subscription may have been its cause."""
        self._suspected = awaited_suback

    @property
    def due(self) -> float:
        """The monotonic moment at which to call `poll` even if nothing comes in."""
        return inf if self._done else self._quiet_at

    def poll(self, connection: Connection) -> None:
        """Collect what has come in; unsubscribe and call the consumers when all has come."""
        if self._suspected and connection.stable:
            self._suspected = False
            # The cause may be another: two agents with one client id end each other's connections, too. So the next
            # connection subscribes again; after the second time the agent waits RESUBSCRIBE_SECONDS.
            self._denials += 1
            if self._denials > 1:
                self._resubscribe_at = time.monotonic() + RESUBSCRIBE_SECONDS
            self._give_up(connection)
        if connection.subscription_granted is None:
            return
        arrived = connection.take_retained()  # also after the end: late messages must not pile up
        if self._done:
            return
        if not connection.subscription_granted:
            self._done = True
            self._give_up(connection)
            return
        self._denials = 0
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + MAX_READ_SECONDS
            self._quiet_at = now + QUIET_SECONDS
        if arrived:
            self._retained.update(arrived)
            self._quiet_at = min(now + QUIET_SECONDS, self._deadline)
        if now >= self._quiet_at:
            self._done = True
            connection.unsubscribe(self._topic_filter)
            for consume in self._consumers:
                consume(self._retained)

    def _give_up(self, connection: Connection) -> None:
        """Let the consumers go on without what the broker has retained."""
        for consume in self._consumers:
            consume({})
        if not self._warned:
            self._warned = True
            log.warning(
                "%s does not let the agent read %s, so it cannot correct what it left retained there before; "
                "let the agent's user read these topics, in the broker's access rules",
                connection.address,
                self._topic_filter,
            )
