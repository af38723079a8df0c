"""One connection to the broker, on a paho client that `client` makes.

Paho's own loop is not used: its thread can die unnoticed, and its select() fails from file descriptor 1024 on. Here one
thread owns the connection and drives it with `poll()`. Each connection has a new client, so that paho resends nothing
of an earlier one without the outbox knowing.
"""

import select
import time
from collections.abc import Callable, Collection, Iterator

from agent.config import Address, BrokerSettings, ConfigError
from agent.messages.outbox import Delivery
from agent.messages.topics import Message
from agent.mqtt.callbacks import ClientCallbacks
from agent.mqtt.capabilities import Capabilities, publish_packet_bytes
from agent.mqtt.client import Client, Protocol, subscribe
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerError, BrokerRefusedError, connect_error, end_error, unanswered_error
from agent.mqtt.reason_codes import ReasonCode
from agent.mqtt.sockets import probe_unix_socket, wait_writable
from agent.mqtt.subscription import Subscription
from agent.mqtt.tls import TlsFileError
from agent.runtime.wakeup import WakeupEvent

MAX_POLL_SECONDS = 1.0  # paho's loop_misc, which sends the keepalive, has to be called that often
CONNECT_TIMEOUT_SECONDS = 5.0  # for the network connection, and again for the CONNACK
BURST_SECONDS = 0.01  # the first message of a burst waits so long, to be sent together with those that follow
QUICK_DISCONNECT_SECONDS = 0.1  # for the DISCONNECT of a connection that is given up: its broker is hardly reachable
STABLE_AFTER_SECONDS = 5.0  # after which a connection counts as a good one, even if nothing was acknowledged


class Connection:
    """A connection, from CONNECT to its end. Not thread-safe."""

    def __init__(
        self,
        settings: BrokerSettings,
        address: Address,
        protocol: Protocol,
        client_id: str,
        will: Message | None,
        wake: WakeupEvent,
        resume: bool,
    ) -> None:
        """Prepare a connection. Raises BrokerRefusedError if a certificate, key or password file cannot be used.

        `will` None: no will. `wake` ends a `poll()` early. `resume`: go on with the session of an earlier connection.
        """
        self.address, self.protocol = address, protocol
        self.capabilities = Capabilities()  # the broker's, once the connection is open
        self._opened_at = float("inf")  # monotonic; when the CONNACK came, never so far
        self._client_id, self._wake, self._resume = client_id, wake, resume
        self._callbacks = ClientCallbacks()
        self._in_flight: dict[int, Delivery] = {}  # by message id
        self._buffers_input = address.scheme not in ("mqtt", "unix", "embedded")  # TLS, WebSockets
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)
        self._registered: tuple[int, int] | None = None  # descriptor and events of the broker's socket
        try:
            self._unconnected = Client(settings, address, protocol, client_id, will, self._callbacks)
        except (ConfigError, TlsFileError, ValueError) as error:
            raise BrokerRefusedError(f"{address}: {error}") from error
        self._client = self._unconnected.paho

    def open(self, deadline: Deadline, patience: float = CONNECT_TIMEOUT_SECONDS) -> None:
        """Connect, and wait until the broker accepts the agent.

        Args:
            deadline: When to give up; a lookup of a host name is not interrupted. Another thread may set it meanwhile.
            patience: Seconds for the network connection, and again for the CONNACK.

        Raises:
            BrokerError: There is no connection. If only the CONNACK is missing, it stays open, as one of the error's
                `observations`: the broker may still answer.
        """
        self._connect(deadline, patience)
        connack_due = time.monotonic() + patience
        while self._callbacks.connack is None:
            left = min(connack_due, deadline.at) - time.monotonic()
            if left <= 0:
                raise unanswered_error(self.address, self)
            self.poll(left)
        reason, properties = self._callbacks.connack
        if reason.is_failure:
            raise self._end_error()
        self.capabilities = Capabilities.from_connack(properties)
        self._opened_at = time.monotonic()

    def _connect(self, deadline: Deadline, patience: float) -> None:
        failure: BrokerError | None = None
        try:
            if self.address.scheme == "unix":
                probe_unix_socket(self.address.path)
            self._unconnected.connect(max(0.1, min(patience, deadline.at - time.monotonic())), self._resume)
        except (OSError, ValueError) as error:
            failure = connect_error(self.address, error)
        if failure is not None:  # not raised in `except`: the first error's traceback would keep a socket open
            raise failure

    def poll(self, timeout: float) -> None:
        """Wait at most `timeout` seconds, or MAX_POLL_SECONDS, for input, output or a wake-up, and process it.

        Raises BrokerError if the connection has ended.
        """
        sock = self._client.socket()
        if sock is None:
            raise self._end_error()
        has_decrypted = getattr(sock, "pending", int)() > 0  # input that TLS has decrypted, unknown to poll()
        wanted = (sock.fileno(), select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        if self._registered != wanted:
            self._poll.register(*wanted)
            self._registered = wanted
        at_once = has_decrypted or self._callbacks.acks  # QoS 0 is acknowledged while it is being published
        ready = dict(self._poll.poll(0 if at_once else 1000 * max(0.0, min(timeout, MAX_POLL_SECONDS))))
        if ready.pop(self._wake.fileno(), 0):
            if not self._in_flight:
                select.poll().poll(1000 * BURST_SECONDS)  # a sleep; tests with another clock change time.sleep()
            self._wake.clear()
        events = ready.get(sock.fileno(), 0)
        if has_decrypted or events & ~select.POLLOUT:
            self._read()
        if events & select.POLLOUT:
            self._client.loop_write()
        # Not before the CONNACK: loop_misc() would end a connection that waits longer than one keepalive.
        if self._callbacks.connack is not None:
            self._client.loop_misc()
        if self._client.socket() is None:
            raise self._end_error()

    def poll_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Poll until a condition is true, for at most `seconds`. Return whether it is. Raises as `poll` does."""
        due = time.monotonic() + seconds
        while not condition():
            if (left := due - time.monotonic()) <= 0:
                return False
            self.poll(left)
        return True

    @property
    def subscription_granted(self) -> bool | None:
        """Whether the broker granted the subscription; None until it answers."""
        return self._callbacks.subscription_granted

    @property
    def refused_filters(self) -> list[str]:
        """The optional filters of the subscription that the broker has refused."""
        return self._callbacks.refused_filters

    @property
    def is_open(self) -> bool:
        """Whether the connection has not ended yet, as far as `poll` has noticed."""
        return self._client.socket() is not None

    @property
    def stable(self) -> bool:
        """Whether the connection has been open for STABLE_AFTER_SECONDS."""
        return time.monotonic() - self._opened_at >= STABLE_AFTER_SECONDS

    @property
    def in_flight(self) -> Collection[Delivery]:
        """The messages that were sent and are not acknowledged, the oldest first. A live view."""
        return self._in_flight.values()

    def publish(self, delivery: Delivery) -> int:
        """Send a message, as the broker's capabilities allow it. The caller keeps to `capabilities.max_in_flight`.

        Returns 0, or the MQTT 5 reason code for which this broker would reject the message: then it was not sent.
        """
        message = self.capabilities.adapt(delivery.message)
        if publish_packet_bytes(message, mqtt5=self.protocol == "5") > self.capabilities.max_packet_bytes:
            return ReasonCode.PACKET_TOO_LARGE
        try:
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        except ValueError:  # the topic has a wildcard or is too long (MQTT 5, section 4.7)
            return ReasonCode.TOPIC_NAME_INVALID
        self._in_flight[info.mid] = delivery
        return 0

    def take_acks(self) -> Iterator[tuple[Delivery, int]]:
        """Take the messages that were answered, each with its MQTT 5 reason code; from 0x80 on it is rejected.

        With QoS 0 the operating system answers. MQTT 3.1.1 has no reason codes: a rejection looks like success.
        """
        while self._callbacks.acks:
            mid, code = self._callbacks.acks.popleft()
            if (delivery := self._in_flight.pop(mid, None)) is not None:
                yield delivery, code

    def subscribe(self, subscription: Subscription) -> None:
        """Subscribe. With MQTT 5 this client's own messages do not come back, unless `expected` is set."""
        self._callbacks.expect_suback(subscription)
        subscribe(self._client, subscription, self.protocol)

    @property
    def expected_arrived(self) -> bool:
        """Whether the message has come in whose payload is `expected` in the subscription."""
        return self._callbacks.expected_arrived

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription, except for its live topics."""
        self._client.unsubscribe(subscription.temporary)

    def take_retained(self) -> dict[str, bytes]:
        """Take the payloads of the retained messages that have come in, by topic."""
        retained, self._callbacks.retained = self._callbacks.retained, {}
        return retained

    def take_live(self) -> dict[str, bytes]:
        """Take the payloads of the newest messages of the subscription's live topics that have come in, by topic."""
        live, self._callbacks.live = self._callbacks.live, {}
        return live

    def take_stream(self) -> Iterator[tuple[str, bytes]]:
        """Take topic and payload of each message that has come in, if the subscription is a stream."""
        while self._callbacks.stream:
            yield self._callbacks.stream.popleft()

    def disconnect(self, timeout: float) -> None:
        """End the connection with a DISCONNECT, so that the will is not published; within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._client.disconnect()  # paho closes the socket once all is written
        while (sock := self._client.socket()) is not None and (left := deadline - time.monotonic()) > 0:
            wait_writable(sock.fileno(), left)
            self._client.loop_write()
        self.abort()

    def abort(self) -> None:
        """Close the socket without a DISCONNECT: the broker publishes the will (MQTT 5, section 3.1.2.5)."""
        if (sock := self._client.socket()) is not None:
            sock.close()

    def disconnect_quickly(self) -> None:
        """Disconnect in QUICK_DISCONNECT_SECONDS. If the broker reads the DISCONNECT later, it publishes no will."""
        self.disconnect(QUICK_DISCONNECT_SECONDS)

    def fileno(self) -> int:
        """Return the socket's file descriptor; -1 if there is no socket."""
        return -1 if (sock := self._client.socket()) is None else sock.fileno()

    def _read(self) -> None:
        """Read one packet; over TLS and WebSockets all that have come: `select.poll` does not see buffered ones."""
        while True:
            before = self._callbacks.packet_count
            self._client.loop_read()
            if self._callbacks.packet_count == before or not self._buffers_input:
                return

    def _end_error(self) -> BrokerError:
        return end_error(self.address, self._client_id, self._callbacks, self.stable)
