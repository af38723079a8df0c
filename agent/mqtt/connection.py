"""One connection to the broker. The only module that imports paho.

Paho's own loop is left aside: its thread can die unseen, and its select() fails from file descriptor 1024 on. Here one
thread owns the connection and drives it with `turn()`, on a poll() of its own. Each connection has a fresh client, so
nothing of an earlier one is sent again behind the outbox's back. Callbacks only append to queues: paho holds a lock
while it calls them, and an exception there would do harm.
"""

import select
import time
from collections.abc import Callable, Collection, Iterator
from typing import Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.config import Address, BrokerSettings, ConfigError, read_password
from agent.messages.outbox import Delivery
from agent.messages.topics import Message
from agent.mqtt import tls
from agent.mqtt.callbacks import ClientCallbacks
from agent.mqtt.capabilities import Capabilities, packet_size
from agent.mqtt.errors import BrokerError, BrokerRefusedError, BrokerUnreachableError, connecting_failed, ended
from agent.mqtt.reachability import Observation, Reachability
from agent.mqtt.reason_codes import PACKET_TOO_LARGE, TOPIC_INVALID
from agent.mqtt.sockets import probe_unix_socket, set_tcp_options
from agent.runtime.wakeup import WakeupEvent

MAX_POLL_SECONDS = 1.0  # seconds; paho's loop_misc, which keeps the keepalive, is to be called that often
CONNECT_TIMEOUT_SECONDS = 5.0  # seconds for a connection to be made, and for the CONNACK
BURST_SECONDS = 0.01  # seconds from the first message of a burst until it is sent, with others that have come meanwhile
STABLE_AFTER_SECONDS = 5.0  # seconds after which a connection is a good one, whatever has come over it

Protocol = Literal["5", "3.1.1"]
_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_TRANSPORTS: dict[str, Literal["websockets", "unix"]] = {"ws": "websockets", "wss": "websockets", "unix": "unix"}


class Connection:
    """A connection, from CONNECT to its end, for one thread. `wake` ends a turn early; `limits` hold once it is open.

    `since` is when that was, monotonic.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        address: Address,
        protocol: Protocol,
        client_id: str,
        will: Message | None,
        wake: WakeupEvent,
    ) -> None:
        """Prepare, and connect nothing yet. Raises BrokerRefusedError when a password or TLS file cannot be used."""
        self.address, self.protocol = address, protocol
        self.capabilities = Capabilities()
        self.opened_at = 0.0
        self._client_id = client_id
        self._wake = wake
        self._callbacks = ClientCallbacks()
        self._in_flight: dict[int, Delivery] = {}
        self._plain = address.scheme in ("mqtt", "unix", "embedded")
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)
        self._polled: tuple[int, int] | None = None
        try:
            self._client = self._make_client(settings, will)
        except (ConfigError, tls.TlsFileError, ValueError) as error:
            raise BrokerRefusedError(f"{address}: {error}") from error
        self._keepalive = settings.keepalive

    def _make_client(self, settings: BrokerSettings, will: Message | None) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            protocol=_VERSIONS[self.protocol],
            transport=_TRANSPORTS.get(self.address.scheme, "tcp"),
            reconnect_on_failure=False,
        )
        self._callbacks.attach(client)
        client.on_socket_open = lambda _client, _data, sock: set_tcp_options(sock.fileno())
        if self.address.tls:
            client.tls_set_context(tls.context(settings))
        if _TRANSPORTS.get(self.address.scheme) == "websockets":
            client.ws_set_options(self.address.path)
        username = self.address.username or settings.username
        password = self.address.password or read_password(settings)
        if username is not None or password is not None:
            client.username_pw_set(username, password.reveal() if password else None)
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        return client

    def open(self, until: Callable[[], float] = lambda: float("inf")) -> None:
        """Connect and wait for the broker's yes, for `PATIENCE`, and not beyond the monotonic moment `until()`.

        Raises BrokerUnreachableError, with the sighting of this connection where its answer may still come, and
        BrokerRefusedError. A turn that is woken looks at `until()` again. Looking the name up may take longer.
        """
        failed: BrokerError | None = None
        self._client.connect_timeout = max(0.1, min(CONNECT_TIMEOUT_SECONDS, until() - time.monotonic()))
        try:
            if self.address.scheme == "unix":
                probe_unix_socket(self.address.path)
            place = self.address.path if self.address.scheme == "unix" else self.address.host
            self._client.connect(place, self.address.port or 1, self._keepalive)
        except (OSError, ValueError) as error:
            failed = connecting_failed(self.address, error)
        if failed is not None:  # raised only here, without the first error, whose traceback would hold a socket open
            raise failed
        deadline = time.monotonic() + CONNECT_TIMEOUT_SECONDS
        while self._callbacks.connack is None:
            left = min(deadline, until()) - time.monotonic()
            if left <= 0:
                late = Observation(self.address, Reachability.SILENT, late=self)
                raise BrokerUnreachableError(
                    f"{self.address} accepts connections but does not answer; is it frozen?", late
                )
            self.poll(left)
        reason, properties = self._callbacks.connack
        if reason.is_failure:
            raise self._ended()
        self.capabilities = Capabilities.of(properties)
        self.opened_at = time.monotonic()

    def poll(self, timeout: float) -> None:
        """Wait for something to do, at most `timeout` seconds and at most `TURN`, and do it.

        Raises BrokerUnreachableError or BrokerRefusedError when the connection has ended, by what is known about it.
        """
        sock = self._client.socket()
        if sock is None:
            raise self._ended()
        # Over TLS, bytes may have been decrypted that poll() knows nothing of any more.
        pending = getattr(sock, "pending", None)
        hidden = bool(pending and pending())
        self._watch(sock.fileno(), select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        waiting = hidden or self._callbacks.acks  # QoS 0 is answered while it is being published
        ready = dict(self._poll.poll(0 if waiting else 1000 * max(0.0, min(timeout, MAX_POLL_SECONDS))))
        if ready.pop(self._wake.fileno(), 0):
            if not self._in_flight:
                select.poll().poll(1000 * BURST_SECONDS)  # sleeps, which time.sleep() does not under a faked clock
            self._wake.clear()
        events = ready.get(sock.fileno(), 0)
        if hidden or events & ~select.POLLOUT:
            self._read()
        if events & select.POLLOUT:
            self._client.loop_write()
        if self._callbacks.connack is not None:  # before, paho would hang up after the keepalive, as if the broker had
            self._client.loop_misc()
        if self._client.socket() is None:
            raise self._ended()

    @property
    def subscription_granted(self) -> bool | None:
        """What the broker has answered to the subscription; None while it has not."""
        return self._callbacks.granted

    @property
    def stable(self) -> bool:
        """Whether it has been open for long enough to be called good."""
        return time.monotonic() - self.opened_at >= STABLE_AFTER_SECONDS

    @property
    def in_flight(self) -> Collection[Delivery]:
        """What is sent and not yet answered, the oldest first, as it is at any time."""
        return self._in_flight.values()

    def publish(self, delivery: Delivery) -> int:
        """Send a message; return 0, or the reason code why this broker will not have it.

        The caller keeps to `limits.window`.
        """
        message = self.capabilities.adapt(delivery.message)
        if packet_size(message, properties=self.protocol == "5") > self.capabilities.packet:
            return PACKET_TOO_LARGE
        try:
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        except ValueError:  # no topic by MQTT's rules
            return TOPIC_INVALID
        self._in_flight[info.mid] = delivery
        return 0

    def acks(self) -> Iterator[tuple[Delivery, int]]:
        """Yield what the broker has answered, with the reason code; from 0x80 on it is a refusal.

        With QoS 0 it is the operating system that has taken the message, and with MQTT 3.1.1 a refusal looks like
        success.
        """
        while self._callbacks.acks:
            mid, code = self._callbacks.acks.popleft()
            delivery = self._in_flight.pop(mid, None)
            if delivery is not None:
                yield delivery, code

    def subscribe(self, topics: str) -> None:
        """Ask for messages; with MQTT 5 not for our own."""
        if self.protocol == "5":
            self._client.subscribe(topics, options=SubscribeOptions(qos=0, noLocal=True))
        else:
            self._client.subscribe(topics, 0)

    def unsubscribe(self, topics: str) -> None:
        """Ask for no more messages."""
        self._client.unsubscribe(topics)

    def retained(self) -> Iterator[tuple[str, bytes]]:
        """Take topic and payload of the retained messages that came in."""
        return self._callbacks.retained()

    def disconnect(self, within: float) -> None:
        """Say goodbye, so that the will is not published; then close. At most so many seconds."""
        deadline = time.monotonic() + within
        self._client.disconnect()  # paho closes the socket when it has written it all
        while (sock := self._client.socket()) is not None and (left := deadline - time.monotonic()) > 0:
            writable = select.poll()
            writable.register(sock.fileno(), select.POLLOUT)
            writable.poll(1000 * left)
            self._client.loop_write()
        self.hang_up()

    def hang_up(self) -> None:
        """Close without a goodbye: the broker publishes the will."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def close(self) -> None:
        """Give up a connection that was not accepted yet; if the broker reads on some day, it publishes no will."""
        self.disconnect(0.1)

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        sock = self._client.socket()
        return -1 if sock is None else sock.fileno()

    def _watch(self, fd: int, events: int) -> None:
        if self._polled != (fd, events):
            self._poll.register(fd, events)
            self._polled = (fd, events)

    def _read(self) -> None:
        """Read what is there: over TLS and WebSockets till nothing comes, for poll() does not see all that waits."""
        while True:
            before = self._callbacks.packets
            self._client.loop_read()
            if self._callbacks.packets == before or self._plain:
                return

    def _ended(self) -> BrokerError:
        return ended(self.address, self._client_id, self._callbacks, self.stable)
