"""Reading what the broker retains of the agent's topics, once after each connect.

The broker is the agent's only memory of earlier runs. The way of a retained message:

    Connection.take_retained() ──► RetainedReader.poll() ──► its consumer, with all messages by topic

If Home Assistant is enabled, discovery messages are read as well. And two topics stay subscribed, to hear when Home
Assistant starts, and when another program announces the host's device.

Publishing does not depend on this reading. A broker may refuse the subscription. Or it may end the connection instead
of answering: then the next connection, which is made at once, does not subscribe. If this next connection lasts, the
subscription is blamed. After it was blamed twice the agent does not subscribe for RESUBSCRIBE_SECONDS.
"""

import logging
import time
from collections.abc import Callable
from math import inf

from agent.mqtt.connection import Connection
from agent.mqtt.subscription import Subscription

QUIET_SECONDS = 0.5  # all retained messages have come if no other follows for so long: MQTT does not mark the last
MAX_READ_SECONDS = 2.0  # for all of them together

RESUBSCRIBE_SECONDS = 3600.0  # until the next subscription, once subscriptions are blamed for ended connections

RetainedConsumer = Callable[[dict[str, bytes]], None]
"""Takes the payloads of the retained messages by topic. Called on the publisher's thread: it must not block."""

LiveConsumer = Callable[[str, bytes], bool]
"""Takes the topic and payload of a message. Returns whether what is retained has changed, and is to be read again.
Called on the publisher's thread: it must not block."""

log = logging.getLogger(__name__)


class RetainedReader:
    """Collects the retained messages while publishing goes on, then hands them to the consumer. Not thread-safe.

    Args:
        subscription: Returns what to subscribe to.
        consume: Called with what was collected.
        on_live: Called with each message of the subscription's live topics.
    """

    def __init__(
        self,
        subscription: Callable[[], Subscription],
        consume: RetainedConsumer,
        on_live: LiveConsumer,
    ) -> None:
        self._make_subscription = subscription
        self._consume = consume
        self._on_live = on_live
        self._subscription = subscription()
        self._repeat = False  # set by repeat(), on any thread
        self._retained: dict[str, bytes] = {}
        self._done = False
        self._deadline: float | None = None
        self._quiet_at = inf
        self._warned: set[str] = set()  # topic filters that the agent may not read, once that was logged
        self._suspected = False  # whether the last connection was ended while its subscription was unanswered
        self._denials = 0
        self._resubscribe_at = -inf  # monotonic; no subscription before

    def start(self, connection: Connection) -> None:
        """Subscribe, unless the subscription is blamed for the end of an earlier connection.

        Call this before anything is published: only what the broker had before is to be read.
        """
        self._retained, self._repeat = {}, False
        self._done = self._suspected or time.monotonic() < self._resubscribe_at
        self._deadline = None
        self._quiet_at = inf
        if not self._done:
            self._subscription = self._make_subscription()
            connection.subscribe(self._subscription)

    def repeat(self) -> None:
        """Subscribe and read once more, because there is more to read than before. May be called from any thread."""
        self._repeat = True

    def on_disconnect(self, awaited_suback: bool) -> None:
        """Note the end of a connection, and whether the subscription may have been its cause."""
        self._suspected = awaited_suback

    @property
    def due(self) -> float:
        """The monotonic moment at which to call `poll` even if nothing comes in."""
        return inf if self._done else self._quiet_at

    def poll(self, connection: Connection) -> None:
        """Collect what has come in; unsubscribe and call the consumer when all has come."""
        if self._suspected and connection.stable:
            self._suspected = False
            # The cause may be another: two agents with one client id end each other's connections, too. So the next
            # connection subscribes again; after the second time the agent waits RESUBSCRIBE_SECONDS.
            self._denials += 1
            if self._denials > 1:
                self._resubscribe_at = time.monotonic() + RESUBSCRIBE_SECONDS
            self._give_up(connection)
        if self._done and self._repeat:
            self.start(connection)
            if self._done:  # a subscription might end this connection
                self._consume({})
        if connection.subscription_granted is None:
            return
        for topic, payload in connection.take_live().items():
            if self._on_live(topic, payload):
                self._repeat = True  # at the next opportunity, when what follows this message has come in, too
        arrived = connection.take_retained()  # also after the end: late messages must not pile up
        if self._done:
            return
        if connection.subscription_granted:
            self._collect(connection, arrived)
        else:
            self._done = True
            self._give_up(connection)

    def _collect(self, connection: Connection, arrived: dict[str, bytes]) -> None:
        self._denials = 0
        now = time.monotonic()
        if self._deadline is None:
            self._warn_of_refused(connection)
            self._deadline = now + MAX_READ_SECONDS
            self._quiet_at = now + QUIET_SECONDS
        if arrived:
            self._retained.update(arrived)
            self._quiet_at = min(now + QUIET_SECONDS, self._deadline)
        if now >= self._quiet_at:
            self._done = True
            connection.unsubscribe(self._subscription)
            self._consume(self._retained)

    def _give_up(self, connection: Connection) -> None:
        """Let the consumer go on without what the broker has retained."""
        self._consume({})
        self._warn(connection, self._subscription.topic_filter, "cannot correct what it left retained there before")

    def _warn_of_refused(self, connection: Connection) -> None:
        for topic_filter in connection.refused_filters:
            self._warn(connection, topic_filter, self._subscription.optional[topic_filter])

    def _warn(self, connection: Connection, topic_filter: str, consequence: str) -> None:
        if topic_filter not in self._warned:
            self._warned.add(topic_filter)
            log.warning(
                "%s does not let the agent read %s, so it %s; "
                "let the agent's user read these topics, in the broker's access rules",
                connection.address,
                topic_filter,
                consequence,
            )
