"""A subscriber: what anybody on the broker would see."""

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came in; `arrived` is monotonic."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    arrived: float

    @property
    def json(self) -> Any:
        """The payload, decoded; None for an empty one."""
        return json.loads(self.payload) if self.payload else None

    def __str__(self) -> str:
        """Show what fits on a line."""
        return f"{self.topic}{' (retained)' if self.retain else ''} {self.payload[:300].decode(errors='replace')}"


class Subscriber:
    """A client of MQTT 5 that keeps every message of its filters and comes back when the broker does.

    With `qos=0` it acknowledges nothing, and gets all that a broker has sent before it was killed: an acknowledgement
    on its way to that broker would have the connection reset, and what was not yet read is lost then.
    """

    def __init__(
        self, url: str, *filters: str, username: str | None = None, password: str | None = None, qos: int = 1
    ) -> None:
        self.messages: list[Received] = []
        self._filters = filters or ("#",)
        self._qos = qos
        self._news = threading.Condition()
        self._ready = False
        place = urlsplit(url)
        transport: Literal["tcp", "unix"] = "unix" if place.scheme == "unix" else "tcp"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, transport=transport)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.connect(place.path if transport == "unix" else place.hostname or "127.0.0.1", place.port or 1883)
        self._client.loop_start()
        with self._news:
            granted = self._news.wait_for(lambda: self._ready, 20)
        if not granted:
            self.close()
            raise AssertionError(f"{url} did not grant {', '.join(self._filters)}")

    def wait_for(
        self, predicate: Callable[[Received], bool], timeout: float = 20, count: int = 1, after: float = 0
    ) -> list[Received]:
        """Wait for `count` messages that match and came after the moment `after`; return all that match by then."""
        deadline = time.monotonic() + timeout
        with self._news:
            while len(matching := [m for m in self.messages if m.arrived >= after and predicate(m)]) < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    came = "\n".join(f"  {message}" for message in self.messages[-40:])
                    raise AssertionError(f"{len(matching)} of {count} came in {timeout:g} s; all that came:\n{came}")
                self._news.wait(left)
            return matching

    def on(self, topic: str, timeout: float = 20, count: int = 1, after: float = 0) -> list[Received]:
        """Wait for `count` messages on one topic."""
        return self.wait_for(lambda message: message.topic == topic, timeout, count, after)

    def keep(self, message: Received) -> None:
        """Take in a message, in the client's thread and under a lock; who cannot keep them all does something else."""
        self.messages.append(message)

    def publish(self, topic: str, payload: bytes | str, retain: bool = False) -> None:
        """Publish something, and return when the broker has it."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(20)

    def close(self) -> None:
        """Disconnect. Closing twice is fine."""
        self._client.disconnect()
        self._client.loop_stop()

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
    """Return what the broker retains, by topic: what somebody who subscribes now would be given."""
    end = f"end-of-retained/{uuid.uuid4().hex}"
    subscriber = Subscriber(url, *(filters or ("#",)), end, username=username, password=password)
    try:
        subscriber.publish(end, b".")  # the broker answers in order: this comes after everything retained
        subscriber.on(end)
        return {message.topic: message.payload for message in subscriber.messages if message.retain}
    finally:
        subscriber.close()
