"""What paho reports by callbacks, stored for the connection. Paho is not imported here: its objects are passed in.

Paho calls these callbacks on the thread that drives the connection, while it holds a lock. A callback that took a lock,
or called paho, could deadlock. An exception would end the connection's processing. So the callbacks only store.
"""

import logging
from collections import deque
from typing import Any

from agent.mqtt.subscription import Subscription


class ClientCallbacks:
    """What one paho client has received.

    Attributes:
        connack: Reason code and properties of the CONNACK; None until it comes.
        disconnect: Whether the broker sent a DISCONNECT, and the reason code; None until the connection ends.
        acks: Message id and reason code of each published message that was acknowledged.
        subscription_granted: Whether the broker granted the last subscription; None until it answers.
        refused_filters: The optional filters of that subscription which it refused.
        awaits_suback: Whether a subscription is not answered yet.
        expected_arrived: Whether the message has come in that the subscription expects.
        retained: Payloads of retained messages, by topic.
        live: Payload of the newest message of each of the subscription's live topics, by topic.
        stream: Topic and payload of each message of a subscription that is a stream.
        packet_count: Packets received so far, of the kinds that have a callback.
    """

    def __init__(self) -> None:
        self.connack: tuple[Any, Any] | None = None
        self.disconnect: tuple[bool, Any] | None = None
        self.acks: deque[tuple[int, int]] = deque()
        self.subscription_granted: bool | None = None
        self.refused_filters: list[str] = []
        self.awaits_suback = False
        self.expected_arrived = False
        self.retained: dict[str, bytes] = {}
        self.live: dict[str, bytes] = {}
        self.stream: deque[tuple[str, bytes]] = deque()
        self._subscription: Subscription | None = None  # the last one
        self.packet_count = 0
        self._last_error = _LastErrorHandler()

    def attach(self, client: Any) -> None:
        """Register the callbacks with a paho client."""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        # A logger of this connection alone, outside the program's log. The callback on_log would cost more: paho then
        # formats a line for each packet.
        logger = logging.Logger("paho", logging.ERROR)
        logger.addHandler(self._last_error)
        client.enable_logger(logger)

    def expect_suback(self, subscription: Subscription) -> None:
        """Note that a subscription was sent."""
        self.subscription_granted = None
        self.awaits_suback = True
        self._subscription = subscription

    @property
    def last_error(self) -> str:
        """The last error that paho logged. Paho reports a socket's error in no other way."""
        return self._last_error.text

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        self.packet_count += 1
        self.connack = (reason, properties)

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if self.disconnect is None:  # paho may call this twice
            self.disconnect = (flags.is_disconnect_packet_from_server, reason)

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self.packet_count += 1
        self.acks.append((mid, reason.value))

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        self.packet_count += 1
        self.awaits_suback = False
        first, *others = (not reason.is_failure for reason in reasons)
        optional = self._subscription.optional if self._subscription else ()
        self.refused_filters = [name for name, granted in zip(optional, others, strict=False) if not granted]
        self.subscription_granted = first

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        self.packet_count += 1
        subscription = self._subscription
        if subscription is None:  # the message is for a subscription of an earlier connection in the same session
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:  # some brokers accept topics that are not UTF-8; none of them is the agent's
            return
        if subscription.stream:
            self.stream.append((topic, bytes(message.payload)))
        elif message.retain:
            if subscription.wants(topic):
                self.retained[topic] = bytes(message.payload)
        elif topic in subscription.live:
            self.live[topic] = bytes(message.payload)
        else:
            self.expected_arrived = self.expected_arrived or bytes(message.payload) == subscription.expected


class _LastErrorHandler(logging.Handler):
    """Keeps the last error that paho logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage().removeprefix("failed to receive on socket: ")
