"""Receiving all agents' messages, over one connection that is made again whenever it ends."""

import secrets
from collections.abc import Callable

from agent.config import BrokerSettings
from agent.mqtt.connection import MAX_POLL_SECONDS, Connection
from agent.mqtt.connector import Connector
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerError, BrokerRefusedError, BrokerUnreachableError
from agent.mqtt.subscription import Subscription
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.retry import Backoff, BackoffPolicy, retrying
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

ANSWER_SECONDS = 10.0  # for the broker to answer the subscription
DISCONNECT_SECONDS = 1.0
RETRY_BASE_SECONDS, RETRY_FACTOR, RETRY_CAP_SECONDS = 0.5, 2.0, 10.0  # short waits: somebody is watching


class Subscriber:
    """Subscribes to everything below `base`. `stop` may be called from any thread, the rest from one.

    Args:
        settings: the broker.
        base: first levels of the agents' topics, `topics.base`.
        purpose: part of the client id. With the agent's own client id the broker would end the agent's connection.
        on_message: called with topic and payload of each message.
        on_connect: called after each new connection, before its first message: what is retained comes again.
        on_wait: called at least every MAX_POLL_SECONDS while there is a connection.
        on_trouble: called with the reason when there is no connection any more, and after each attempt that has failed.

    Attributes:
        address: of the connected broker; None while there is no connection.
        trouble: why there is no connection; empty before the first attempt, and while there is a connection.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        base: str,
        purpose: str,
        on_message: Callable[[str, bytes], object],
        on_connect: Callable[[], None] = lambda: None,
        on_wait: Callable[[], None] = lambda: None,
        on_trouble: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.address: str | None = None
        self.trouble = ""
        self._filter = f"{base}/#"
        self._on_message, self._on_connect = on_message, on_connect
        self._on_wait, self._on_trouble = on_wait, on_trouble
        self._cancel, self._deadline, self._wake = CancelToken(), Deadline(), WakeupEvent()
        client_id = f"{settings.client_id}-{purpose}-{secrets.token_hex(3)}"
        self._connector = Connector(settings, client_id, None, self._deadline, self._wake, Watchdog())
        self._connection: Connection | None = None

    def connect(self) -> None:
        """Connect and subscribe, in one attempt. `run` goes on with this connection.

        Raises:
            BrokerError: there is no connection, or the broker refuses the subscription or does not answer it.
        """
        try:
            connection = self._connector.connect()
            try:
                self._subscribe(connection)
            except BaseException:
                connection.abort()
                raise
        except BrokerError as error:
            self.trouble = str(error)
            error.close_unanswered()
            raise
        self._connection, self.address, self.trouble = connection, str(connection.address), ""
        self._on_connect()

    def run(self) -> None:
        """Receive messages until `stop`, and connect again whenever the connection ends."""
        backoff = Backoff(BackoffPolicy(RETRY_BASE_SECONDS, RETRY_FACTOR, RETRY_CAP_SECONDS))

        def on_wait(error: BaseException, _seconds: float) -> None:
            self._on_trouble(str(error))

        def receive() -> None:
            if self._connection is None:
                self.connect()
            while self._connection is not None and not self._cancel.is_set():
                self._receive(self._connection)
                if self._connection.stable:
                    backoff.reset()

        try:
            retrying(backoff, self._cancel, (BrokerError,), on_wait)(receive)
        except CancelledError:
            pass
        finally:
            if self._connection is not None:
                self._connection.disconnect(DISCONNECT_SECONDS)
                self._connection = self.address = None

    def stop(self) -> None:
        """Let `run` return soon; an attempt to connect is given up."""
        self._deadline.set(0)
        self._cancel.set()
        self._wake.set()

    def _subscribe(self, connection: Connection) -> None:
        connection.subscribe(Subscription(self._filter, stream=True))
        if not connection.poll_until(lambda: connection.subscription_granted is not None, ANSWER_SECONDS):
            raise BrokerUnreachableError(f"{connection.address} does not answer a subscription to {self._filter}")
        if not connection.subscription_granted:
            raise BrokerRefusedError(
                f"{connection.address} does not let this account read {self._filter}; "
                "use an account that may read these topics"
            )

    def _receive(self, connection: Connection) -> None:
        """Pass on what has come in, and wait for more."""
        try:
            for topic, payload in connection.take_stream():
                self._on_message(topic, payload)
            self._on_wait()
            if not self._cancel.is_set():
                connection.poll(MAX_POLL_SECONDS)
        except BrokerError as error:
            self._connection = self.address = None
            self.trouble = str(error)
            raise
