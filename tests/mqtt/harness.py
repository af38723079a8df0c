"""A publisher with an outbox and a thread of its own, and the messages it publishes."""

import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import wait_until
from support.daemons.subscriber import Subscriber

from agent.config import BackoffSettings, BrokerSettings
from agent.messages.outbox import Outbox
from agent.messages.topics import Message
from agent.mqtt.connector import Connector
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerError
from agent.mqtt.probe import probe
from agent.mqtt.publisher import Publisher
from agent.mqtt.subscription import Subscription
from agent.runtime.retry import BackoffPolicy
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

BASE = "containers/host"
STATUS = f"{BASE}/status"
USAGE = f"{BASE}/web/usage"
WAIT_SECONDS = 100.0  # for what has to happen: far more than a busy machine needs
NEVER_SECONDS = 3600.0  # a backoff or deadline of this length is never reached within WAIT_SECONDS

# What is logged while a broker is away, by what the agent is doing when it goes.
BROKER_AWAY = (
    "lost the connection",
    "nobody listens there",
    "shutting down",
    "closed the connection",
    "does it speak TLS",
)


def usage(number: int = 1, size: int = 0, topic: str = USAGE, qos: int = 1) -> Message:
    """Return a usage; its payload is the number, and `size` spaces."""
    return Message(topic, b"%d" % number + b" " * size, retain=False, qos=qos)


def status(payload: str = "running", topic: str = STATUS) -> Message:
    """Return a status."""
    return Message(topic, payload.encode(), retain=True, qos=1)


def is_listening(port: int) -> bool:
    """Return whether a port of this machine accepts connections."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def probe_lines(url: str, **keys: object) -> list[str]:
    """Probe a broker, and return a line for each result: `ok mqtt://… accepts the agent with MQTT 5`."""
    settings = BrokerSettings(url=(url,), **keys)  # type: ignore[arg-type]
    return [f"{line.verdict} {line.text}" for line in probe(settings, "host", "containers")]


def connect_error(url: str, **keys: object) -> BrokerError:
    """Connect to a broker that cannot be used, and return the error."""
    settings = BrokerSettings(url=(url,), **keys)  # type: ignore[arg-type]
    connector = Connector(settings, "usage-agent", None, Deadline(), WakeupEvent(), Watchdog())
    with pytest.raises(BrokerError) as raised:
        connector.connect()
    raised.value.close_unanswered()
    return raised.value


class RunningPublisher:
    """A publisher in its thread. Its will is the status `lost`."""

    def __init__(self, urls: tuple[str, ...], backoff: BackoffSettings, capacity: int, keys: Mapping[str, Any]) -> None:
        self.outbox = Outbox(capacity, "drop_newest")
        self.retained: queue.Queue[dict[str, bytes]] = queue.Queue()  # what the publisher read after each connect
        self.watchdog = Watchdog()
        self.backoff = BackoffPolicy(backoff.base, backoff.factor, backoff.cap)
        self.publisher = Publisher(
            BrokerSettings(url=urls, **{"client_id": "usage-agent-host", **keys}),
            self.outbox,
            will=lambda: status("lost"),
            subscription=lambda: Subscription(f"{BASE}/#"),
            on_retained=self.retained.put,
            on_live=lambda _topic, _payload: False,
            backoff=self.backoff,
            watchdog=self.watchdog,
            interval=lambda: 1,
        )
        self._thread = threading.Thread(target=self.publisher.run, daemon=True)
        self._thread.start()

    def add(self, *messages: Message) -> None:
        """Add messages to the outbox."""
        for message in messages:
            self.outbox.add_status(message) if message.retain else self.outbox.add_usage(message)

    def deliver(self, *messages: Message) -> None:
        """Add messages to the outbox, and return when the broker has answered for everything in it."""
        self.add(*messages)
        assert self.outbox.wait_idle(WAIT_SECONDS), f"{self.outbox.counters()}, trouble: {self.publisher.trouble}"

    def counters(self) -> dict[str, int]:
        """Return how many usages wait, were sent and were dropped."""
        counters = self.outbox.counters()
        return {"waiting": counters["waiting"], "sent": counters["sent"], "dropped": counters["dropped"]}

    def connections(self) -> tuple[int, int]:
        """Return how many connections a broker has accepted, and how many have ended."""
        counters = self.publisher.counters()
        return counters["connects"], counters["disconnects"]

    def wait_connected(self, count: int = 1) -> None:
        """Wait until a broker has accepted so many connections."""
        wait_until(lambda: self.connections()[0] >= count, WAIT_SECONDS, f"fewer than {count} connections")

    def wait_trouble(self, text: str = "") -> str:
        """Wait until `trouble` contains a text, and return it."""
        wait_until(
            lambda: self.publisher.trouble is not None and text in self.publisher.trouble,
            WAIT_SECONDS,
            f"no trouble with {text!r}",
        )
        return self.publisher.trouble or ""

    def stop(self, within: float = NEVER_SECONDS) -> float:
        """Ask the publisher to stop within so many seconds, wait until it has, and return the seconds it took."""
        began = time.monotonic()
        self.publisher.stop(began + within)
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive(), "the publisher has not stopped"
        return time.monotonic() - began


Publish = Callable[..., RunningPublisher]
OwnBroker = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]
ExpectWarnings = Callable[..., None]
