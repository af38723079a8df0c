"""An MQTT subscriber of the tests."""

import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from support.daemons.processes import PATIENCE


@dataclass(frozen=True)
class Received:
    """One received message; `arrived` is monotonic."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    arrived: float

    @cached_property
    def json(self) -> Any:
        """The payload, decoded once; None for an empty one."""
        return json.loads(self.payload) if self.payload else None

    def __str__(self) -> str:
        """Return the message as one line."""
        return f"{self.topic}{' (retained)' if self.retain else ''} {self.payload[:300].decode(errors='replace')}"


class Subscriber:
    """MQTT client that keeps every message of its filters and reconnects when the broker is back.

    With `qos=0` it sends no acknowledgements, and receives all that a broker has sent before it was killed.
    An acknowledgement sent to a killed broker makes the kernel reset the connection, which loses unread messages.
    """

    def __init__(
        self,
        url: str,
        *filters: str,
        username: str | None = None,
        password: str | None = None,
        qos: int = 1,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ) -> None:
        self.messages: list[Received] = []
        self.by_topic: defaultdict[str, list[Received]] = defaultdict(list)
        self._filters = filters or ("#",)
        self._qos = qos
        self._news = threading.Condition()
        self._ready = False
        address = urlsplit(url)
        transport: Literal["tcp", "unix"] = "unix" if address.scheme == "unix" else "tcp"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol, transport=transport)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.connect(
            address.path if transport == "unix" else address.hostname or "127.0.0.1", address.port or 1883
        )
        self._client.loop_start()
        with self._news:
            granted = self._news.wait_for(lambda: self._ready, PATIENCE)
        if not granted:
            self.close()
            raise AssertionError(f"{url} did not grant {', '.join(self._filters)}")

    def wait_for(
        self, predicate: Callable[[Received], bool], timeout: float = PATIENCE, count: int = 1, after: float = 0
    ) -> list[Received]:
        """Wait for messages that match a predicate.

        Args:
            predicate: Called once for each message, in order of arrival.
            timeout: Seconds until the test fails.
            count: Number of messages to wait for.
            after: Messages before this moment (`time.monotonic()`) are ignored.

        Returns:
            All messages that match by then, at least `count`.
        """
        return self._collect(self.messages, predicate, timeout, count, after)

    def on(self, topic: str, timeout: float = PATIENCE, count: int = 1, after: float = 0) -> list[Received]:
        """Wait for `count` messages on one topic."""
        return self.wait_for_on(topic, lambda _: True, timeout, count, after)

    def wait_for_on(
        self, topic: str, predicate: Callable[[Received], bool], timeout: float, count: int, after: float
    ) -> list[Received]:
        """Wait for messages on one topic that match a predicate; see `wait_for`."""
        with self._news:
            messages = self.by_topic[topic]
        return self._collect(messages, predicate, timeout, count, after)

    def keep(self, message: Received) -> None:
        """Store a message; called in the client's thread, under a lock. A subclass may store fewer."""
        self.messages.append(message)
        self.by_topic[message.topic].append(message)

    def publish(self, topic: str, payload: bytes | str, retain: bool = False) -> None:
        """Publish a message, and return when the broker has acknowledged it."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE)

    def close(self) -> None:
        """Disconnect. Closing twice is fine."""
        self._client.disconnect()
        with suppress(AttributeError):  # paho: its thread, which ends by itself then, forgets itself between two lines
            self._client.loop_stop()

    def _collect(
        self,
        messages: list[Received],
        predicate: Callable[[Received], bool],
        timeout: float,
        count: int,
        after: float,
    ) -> list[Received]:
        """Wait until `count` of these messages match; see `wait_for`."""
        deadline = time.monotonic() + timeout
        matching: list[Received] = []
        examined = 0
        while True:
            # Not under the lock: a slow predicate must not block the client's thread, which stores more messages.
            new = messages[examined:]
            examined += len(new)
            matching += [message for message in new if message.arrived >= after and predicate(message)]
            if len(matching) >= count:
                return matching
            with self._news:
                left = deadline - time.monotonic()
                if left <= 0:
                    last = "\n".join(f"  {message}" for message in self.messages[-40:])
                    raise AssertionError(
                        f"{len(matching)} of {count} messages in {timeout:g} s; the last of all:\n{last}"
                    )
                if len(messages) == examined:
                    self._news.wait(left)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if not reason.is_failure:
            client.subscribe([(topic, self._qos) for topic in self._filters])

    def _on_subscribe(self, *_: Any) -> None:
        with self._news:
            self._ready = True
            self._news.notify_all()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._news:
            self.keep(Received(message.topic, bytes(message.payload), message.retain, message.qos, time.monotonic()))
            self._news.notify_all()


def retained(url: str, *filters: str, username: str | None = None, password: str | None = None) -> dict[str, bytes]:
    """Return the payloads of the retained messages, by topic."""
    end = f"end-of-retained/{uuid.uuid4().hex}"
    subscriber = Subscriber(url, *(filters or ("#",)), end, username=username, password=password)
    try:
        subscriber.publish(end, b".")  # the broker delivers in order: this message comes after all retained ones
        subscriber.on(end)
        return {message.topic: message.payload for message in subscriber.messages if message.retain}
    finally:
        subscriber.close()
