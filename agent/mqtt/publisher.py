"""The publisher: carries messages from the outbox to the broker, and gets the connection back whenever it is lost.

    outbox ── take() ──► connection ──► broker
       ▲                     │
       └── acknowledged() ◄──┴── answers()

One thread does it all: it connects, publishes, and waits. The waits between attempts are tenacity's; what is seen of
the broker meanwhile cuts them short.
"""

import logging
import time
from collections.abc import Callable

from agent.config import BackoffSettings, BrokerSettings
from agent.messages.outbox import Delivery, Outbox
from agent.messages.payloads import BrokerCounters
from agent.messages.topics import Message
from agent.mqtt.connection import MAX_POLL_SECONDS, Connection
from agent.mqtt.connector import Connector
from agent.mqtt.errors import BrokerError, BrokerUnreachableError, taken_over
from agent.mqtt.poison import PoisonMessageDetector
from agent.mqtt.reachability import ReachabilityMonitor
from agent.mqtt.reason_codes import message_refusal
from agent.mqtt.retained import RetainedReader
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.retry import Backoff, retrying
from agent.runtime.text import quote
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

PUBLISH_STEP_SECONDS = 30.0  # seconds; a turn takes one, unless the thread is stuck
DISCONNECT_SECONDS = 0.2  # seconds for the DISCONNECT to leave, if the network is clogged

log = logging.getLogger(__name__)


class Publisher:
    """Publishes what is in the outbox, from `run()` until `stop()`. `run` is for one thread, all else for any.

    `will` is called for each connection. `on_retained` is given what the broker still retains under `retained_filter`,
    after each connecting, in the publisher's thread: it must only hand over. `trouble` says what is wrong now, if
    anything is.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        host: str,
        outbox: Outbox,
        will: Callable[[], Message],
        retained_filter: str,
        on_retained: Callable[[dict[str, bytes]], None],
        backoff: BackoffSettings,
        watchdog: Watchdog,
    ) -> None:
        self.connected = False
        self.trouble: str | None = None
        self._outbox = outbox
        self._retained_reader = RetainedReader(retained_filter, on_retained)
        self._backoff = Backoff(backoff.base, backoff.factor, backoff.cap)
        self._repeating = backoff.cap  # seconds between two attempts at refused statuses
        self._watchdog = watchdog
        self._wake = WakeupEvent()
        self._cancel = CancelToken()
        client_id = settings.client_id or f"usage-agent-{host}"
        self._connector = Connector(settings, client_id, will, self._wake, watchdog)
        self._reachability = ReachabilityMonitor(self._wake, watchdog)
        self._poison = PoisonMessageDetector()
        self._deadline = float("inf")  # until stop() sets one
        self._last_attempt = False
        self._good = False  # the broker has accepted something over the connection that is, or was last
        self._trusting = True
        self._connects = self._disconnects = 0
        self._refusals: dict[str, str] = {}  # by topic, as logged

    def counters(self) -> BrokerCounters:
        """Return how often a broker has accepted us, and how often that came to an end."""
        return {"connects": self._connects, "disconnects": self._disconnects}

    def run(self) -> None:
        """Publish until stopped; the publisher's thread."""
        try:
            retrying(self._backoff, self._cancel, (BrokerError,), self._wait)(self._attempt)
        except CancelledError:
            return
        finally:
            self._watchdog.clear("broker")

    def stop(self, deadline: float) -> None:
        """Ask to end when everything is delivered, or at the monotonic moment `deadline`; returns at once.

        Without a connection one more attempt is made: the broker may be back.
        """
        self._deadline = deadline
        self._wake.set()

    @property
    def _stopping(self) -> bool:
        return self._deadline != float("inf")

    def _attempt(self) -> None:
        """Connect, publish until stopped. Raises BrokerError when there is no connection, or none any more."""
        self._last_attempt, self._good = self._stopping, False
        if self._last_attempt and time.monotonic() >= self._deadline:
            return
        connection = self._connector.connect(lambda: self._deadline)
        self._connects += 1
        self.connected = True
        log.info("connected to %s with MQTT %s", connection.address, connection.protocol)
        try:
            self._publish(connection)
        except BrokerError as error:
            self._poison.on_disconnect(tuple(connection.in_flight), young=not connection.stable)
            self._outbox.requeue()
            # Two agents with one client id last for as long as the other waits: their waits must grow nevertheless.
            if connection.stable and not taken_over(error):
                self._backoff.reset()
                self._trusting = True
            raise
        finally:
            self._outbox.set_listener(lambda: None)  # in the waits between connections only stop() wakes
            self.connected = False
            self._disconnects += 1
            connection.hang_up()

    def _publish(self, connection: Connection) -> None:
        self._outbox.set_listener(self._wake.set)
        self._outbox.note_connected()
        self._retained_reader.start(connection)
        repeat = time.monotonic() + self._repeating
        while not self._finished():
            self._watchdog.expect_within("broker", PUBLISH_STEP_SECONDS)
            self._send(connection)
            now = time.monotonic()
            if now >= repeat:
                repeat = now + self._repeating
                self._outbox.retry_rejected()
            connection.poll(min(MAX_POLL_SECONDS, self._deadline - now, self._retained_reader.due - now))
            answered = self._hear(connection)
            self._retained_reader.poll(connection)
            if answered or connection.stable:
                self._good = True
                self.trouble = None
        self._say_goodbye(connection)

    def _finished(self) -> bool:
        return self._stopping and (self._outbox.idle or time.monotonic() >= self._deadline)

    def _send(self, connection: Connection) -> None:
        """Fill the window."""
        while len(connection.in_flight) < self._window(connection) and (delivery := self._outbox.take()) is not None:
            if self._poison.is_poison(delivery.message):
                self._outbox.reject(delivery)
            elif code := connection.publish(delivery):
                self._refused(delivery, code)

    def _window(self, connection: Connection) -> int:
        return min(connection.capabilities.window, self._poison.window)

    def _hear(self, connection: Connection) -> bool:
        """Tell the outbox what the broker has answered; whether it has accepted anything."""
        accepted = False
        for delivery, code in connection.acks():
            self._poison.on_ack(delivery)
            if code >= 0x80:
                self._refused(delivery, code)
            else:
                accepted = True
                self._outbox.ack(delivery)
        return accepted

    def _refused(self, delivery: Delivery, code: int) -> None:
        """Give up a message, and tell of it once for each topic and reason."""
        self._outbox.reject(delivery)
        topic, reason = delivery.message.topic, message_refusal(code)
        if self._refusals.get(topic) == reason:
            return
        if len(self._refusals) >= 1000:  # topics come and go for months
            self._refusals.clear()
        self._refusals[topic] = reason
        log.warning("the broker does not take messages on %s: %s", topic if len(topic) < 1000 else quote(topic), reason)

    def _say_goodbye(self, connection: Connection) -> None:
        """End the connection. Where not even the statuses got through, the will tells subscribers more than silence."""
        if self._outbox.statuses_delivered:
            connection.disconnect(DISCONNECT_SECONDS)

    def _wait(self, error: BaseException, seconds: float) -> None:
        """Look out for the broker for so long. Tenacity's own wait, which follows, is then cut short."""
        if self._stopping and (self._last_attempt or time.monotonic() >= self._deadline):
            self._cancel.set()
            return
        at_once = self._good and self._trusting and isinstance(error, BrokerUnreachableError)
        if str(error) != self.trouble:
            when = "at once" if at_once else f"in {seconds:.0f} s at the latest"
            log.warning("%s (trying again, %s)", error, when)
            self.trouble = str(error)
        if at_once:
            # The broker may have been restarted. But only once: two agents with one client id, who throw each other
            # out, must not do so as fast as they can.
            self._trusting = False
            self._backoff.reset()
        elif not self._stopping:
            self._reachability.watch(error.observations if isinstance(error, BrokerError) else (), seconds)
        self._cancel.wake()
