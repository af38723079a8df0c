"""What paho's callbacks tell about one connection, in queues. Paho is not imported here: its objects are passed in."""

import logging
from collections import deque
from collections.abc import Iterator
from typing import Any


class ClientCallbacks:
    """Listens to one client of paho. The callbacks only store: paho holds a lock while it calls them."""

    def __init__(self) -> None:
        self.connack: tuple[Any, Any] | None = None  # reason code and properties
        self.disconnect: tuple[bool, Any] | None = None  # whether the broker said it, and the reason code
        self.acks: deque[tuple[int, int]] = deque()  # message id and reason code of what was published
        self.granted: bool | None = None  # the subscription
        self.messages: deque[Any] = deque()
        self.packets = 0  # that came in and are told of
        self._complaints = _Complaints()

    def attach(self, client: Any) -> None:
        """Become the callbacks of a client."""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        # Of this connection alone, outside the program's log. The callback on_log would cost more: paho then composes
        # a line for each packet.
        logger = logging.Logger("paho", logging.ERROR)
        logger.addHandler(self._complaints)
        client.enable_logger(logger)

    @property
    def last_error(self) -> str:
        """The last error: what the socket said is told nowhere else."""
        return self._complaints.last

    def retained(self) -> Iterator[tuple[str, bytes]]:
        """Take the messages; yield topic and payload of the retained ones."""
        while self.messages:
            message = self.messages.popleft()
            try:
                topic = message.topic
            except UnicodeDecodeError:  # not every broker insists on UTF-8; such a topic is none of ours
                continue
            if message.retain:
                yield topic, bytes(message.payload)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        self.packets += 1
        self.connack = (reason, properties)

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if self.disconnect is None:  # it may come twice
            self.disconnect = (flags.is_disconnect_packet_from_server, reason)

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self.packets += 1
        self.acks.append((mid, reason.value))

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        self.packets += 1
        self.granted = not any(reason.is_failure for reason in reasons)

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        self.packets += 1
        self.messages.append(message)


class _Complaints(logging.Handler):
    """Keeps the last error that paho logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage().removeprefix("failed to receive on socket: ")
