"""The publisher: sends the outbox's messages to the broker, and reconnects whenever the connection is lost.

    Outbox ── take() ──► Publisher ── publish() ──► Connection ──► broker
       ▲                  │     ▲                       │
       └── ack(), reject() ◄────┴─── take_acks() ◄──────┘

One thread does it all: it connects, publishes, and waits. What happens where, and in which module:

    a message is rejected
        connection     publish() returns, or take_acks() yields, an MQTT 5 reason code from 0x80 on
        publisher      rejects it in the outbox
        rejections     logs it once per topic and reason; gives the `trouble` while there is a connection
        reason_codes   gives the reason and the remedy
        outbox         drops and counts a usage; a retained status waits for retry_rejected()
    the connection is lost, or none can be made
        connection     raises an error from errors: BrokerUnreachableError or BrokerRefusedError, with the remedy
        connector      tries the other version of MQTT and the other addresses
        poison         checks whether a message was the cause; the next connection leaves that message out
        outbox         requeue(): what was in flight waits again, and every retained status is sent again
        publisher      logs the error if it is a new one; failover says whether to wait
        retry          says how long (tenacity's loop, with a backoff)
        reachability   waits, and ends the wait as soon as the broker is seen to be back
    the connection ends instead of a SUBACK
        connection     raises SubscriptionDeniedError
        retained       does not subscribe in the next connection, made at once; logs why, if that connection lasts
    the broker acknowledges nothing, and there are other addresses
        failover       ends the connection with BrokerSilentError; the next address is tried at once
"""

import logging
import time
from collections.abc import Callable

from agent.config import BrokerSettings
from agent.messages.counters import BrokerCounters
from agent.messages.outbox import Delivery, Outbox
from agent.messages.topics import Message
from agent.mqtt.connection import MAX_POLL_SECONDS, Connection
from agent.mqtt.connector import Connector
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerError, BrokerSilentError, SubscriptionDeniedError, is_taken_over
from agent.mqtt.failover import Failover
from agent.mqtt.poison import PoisonMessageDetector
from agent.mqtt.reachability import Observation, ReachabilityMonitor
from agent.mqtt.reason_codes import FIRST_FAILURE
from agent.mqtt.rejections import Rejections
from agent.mqtt.retained import LiveConsumer, RetainedConsumer, RetainedReader
from agent.mqtt.subscription import Subscription
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.retry import Backoff, BackoffPolicy, retrying
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

PUBLISH_STEP_SECONDS = 30.0  # a step takes MAX_POLL_SECONDS, unless the thread is stuck
DISCONNECT_SECONDS = 0.2  # for the DISCONNECT to leave, if the network is congested

log = logging.getLogger(__name__)


class Publisher:
    """Publishes what is in the outbox, from `run()` until `stop()`. `run` is for one thread, all else for any.

    Args:
        settings: The broker.
        outbox: Where the messages come from.
        will: Returns the will; called for each connection, on the publisher's thread.
        subscription: Returns what to read after each connect.
        on_retained: Called with the retained messages among it, on the publisher's thread: it must not block.
        on_live: Called with each message of its live topics, likewise.
        backoff: Waits between attempts to connect. A rejected status is sent again after its cap.
        watchdog: Expects each step to end in time.
        interval: Returns the seconds between two usages of a container.

    Attributes:
        connected: Whether there is an accepted connection. Written by the publisher's thread.
        trouble: What is wrong now, or None. Written by the publisher's thread.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        outbox: Outbox,
        will: Callable[[], Message],
        subscription: Callable[[], Subscription],
        on_retained: RetainedConsumer,
        on_live: LiveConsumer,
        backoff: BackoffPolicy,
        watchdog: Watchdog,
        interval: Callable[[], float],
    ) -> None:
        self.connected = False
        self.trouble: str | None = None
        self._outbox = outbox
        self._retained_reader = RetainedReader(subscription, on_retained, on_live)
        self._backoff = Backoff(backoff)
        self._watchdog = watchdog
        self._wake = WakeupEvent()
        self._cancel = CancelToken()
        self._deadline = Deadline()  # set by stop(), on any thread; all that follows is of the publisher's thread
        self._connector = Connector(settings, settings.client_id or "", will, self._deadline, self._wake, watchdog)
        self._reachability = ReachabilityMonitor(self._wake, watchdog)
        self._poison = PoisonMessageDetector()
        self._is_last_attempt = False
        self._failover = Failover(len(settings.addresses))
        # What the failed attempt saw of each address. Empty: only time can help. None: do not wait.
        self._observations: tuple[Observation, ...] | None = None
        self._connects = self._disconnects = 0  # read by any thread
        self._rejections = Rejections(interval, backoff)

    def counters(self) -> BrokerCounters:
        """Return how many connections a broker has accepted, and how many have ended."""
        return {"connects": self._connects, "disconnects": self._disconnects}

    def run(self) -> None:
        """Publish until stopped. This is what the publisher's thread runs."""
        try:
            retrying(self._backoff, self._cancel, (BrokerError,), self._before_wait, self._wait)(self._attempt)
        except CancelledError:
            return
        finally:
            self._watchdog.clear("publisher")

    def read_retained(self) -> None:
        """Subscribe again, and read what is retained: there is more to subscribe to than before."""
        self._retained_reader.repeat()
        self._wake.set()

    def stop(self, deadline: float) -> None:
        """Ask to end when everything is delivered, or at the monotonic moment `deadline`; return at once.

        Without a connection one more attempt is made, because the broker may be back.
        """
        self._deadline.set(deadline)
        self._wake.set()

    def retry_now(self) -> None:
        """End a wait for the next attempt to connect, if there is one."""
        self._wake.set()

    def _attempt(self) -> None:
        """Connect, and publish until stopped. Raises BrokerError if there is no connection, or it has ended."""
        self._is_last_attempt = self._deadline.is_set
        self._failover.on_attempt()
        if self._is_last_attempt and self._deadline.passed:
            return
        connection = self._connector.connect()
        self._reachability.note_connected()
        self._failover.on_connect()
        self._connects += 1
        self.connected = True
        log.info("connected to %s with MQTT %s", connection.address, connection.protocol)
        try:
            self._publish(connection)
        except BrokerError as error:
            awaited_suback = isinstance(error, SubscriptionDeniedError)
            self._retained_reader.on_disconnect(awaited_suback)
            if isinstance(error, BrokerSilentError):
                self._connector.on_silent(connection.address)
            elif not awaited_suback:
                self._poison.on_disconnect(tuple(connection.in_flight), connection.stable)
            self._outbox.requeue()
            # If two agents share a client id, one stays connected for exactly as long as the other one waits. So a
            # connection that was taken over must not reset the backoff, however long it has lasted.
            if connection.stable and not is_taken_over(error):
                self._backoff.reset()
                self._failover.on_stable_end()
            raise
        finally:
            self._outbox.set_listener(lambda: None)  # a new message does not end a wait between connections
            self.connected = False
            self._disconnects += 1
            connection.abort()

    def _publish(self, connection: Connection) -> None:
        self._outbox.set_listener(self._wake.set)
        self._outbox.note_connected()
        self._retained_reader.start(connection)
        retried_rejected_at = time.monotonic()
        while not self._finished():
            self._watchdog.expect_within("publisher", PUBLISH_STEP_SECONDS)
            self._fill_window(connection)
            now = time.monotonic()
            if now >= retried_rejected_at + self._backoff.policy.cap:
                retried_rejected_at = now
                self._outbox.retry_rejected()
            due = min(self._deadline.at, self._retained_reader.due, self._failover.due(connection, now))
            connection.poll(min(MAX_POLL_SECONDS, due - now))
            accepted = self._process_acks(connection)
            self._failover.check(connection)
            self._retained_reader.poll(connection)
            if accepted or connection.stable:
                self._failover.on_success()
                self.trouble = self._rejections.trouble
        if self._outbox.statuses_delivered:  # otherwise no DISCONNECT: the will is better than an outdated status
            connection.disconnect(DISCONNECT_SECONDS)

    def _finished(self) -> bool:
        return self._deadline.is_set and (self._outbox.idle or self._deadline.passed)

    def _fill_window(self, connection: Connection) -> None:
        """Send until as many messages are in flight as may be, or the outbox has no more."""
        limit = min(connection.capabilities.max_in_flight, self._poison.max_in_flight)
        while len(connection.in_flight) < limit and (delivery := self._outbox.take()):
            if self._poison.is_poison(delivery.message):
                self._outbox.reject(delivery)
            elif code := connection.publish(delivery):
                self._reject(delivery, code)
            else:
                self._poison.note_sent()

    def _process_acks(self, connection: Connection) -> bool:
        """Pass the broker's answers on to the outbox. Return whether it has accepted a message."""
        accepted = False
        for delivery, code in connection.take_acks():
            self._poison.on_ack(delivery)
            self._failover.on_ack()
            if code >= FIRST_FAILURE:
                self._reject(delivery, code)
            else:
                accepted = True
                self._rejections.note_accepted(delivery.message.topic)
                self._outbox.ack(delivery)
        return accepted

    def _reject(self, delivery: Delivery, code: int) -> None:
        self._outbox.reject(delivery)
        self._rejections.add(delivery.message.topic, code)

    def _before_wait(self, error: BaseException, seconds: float) -> None:
        """Log why the attempt failed, and decide whether the next one has to wait."""
        if isinstance(error, SubscriptionDeniedError) or not isinstance(error, BrokerError):
            return  # `_observations` stays None, so `_wait` does not wait; the retained reader logs the error
        if self._deadline.is_set and (self._is_last_attempt or self._deadline.passed):
            error.close_unanswered()
            self._cancel.set()
            return
        at_once = self._failover.take_retry(error)
        if str(error) != self.trouble:
            when = "at once" if at_once else f"in {seconds:.0f} s at the latest"
            log.warning("%s (trying again, %s)", error, when)
            self.trouble = str(error)
        if at_once:
            self._backoff.reset()
        self._observations = None if at_once else error.observations

    def _wait(self, seconds: float) -> None:
        """Wait until the broker is seen to be back, for at most `seconds`; not at all while stopping."""
        observations, self._observations = self._observations, None
        if observations is not None:
            self._reachability.wait(observations, 0 if self._deadline.is_set else seconds)
