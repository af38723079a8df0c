"""A publisher with an outbox and a thread of its own."""

import queue
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from support.daemons.processes import wait_until

from agent.config import BackoffSettings, BrokerSettings
from agent.messages.outbox import Outbox
from agent.messages.topics import Message
from agent.mqtt.publisher import Publisher
from agent.runtime.watchdog import Watchdog

BASE = "containers/host"
STATUS = f"{BASE}/status"
USAGE = f"{BASE}/web/usage"
WAIT = 30.0  # seconds for anything that should happen soon, on a machine that may be busy


def usage(number: int = 1, size: int = 0, topic: str = USAGE, qos: int = 1) -> Message:
    """Return a usage; its payload is the number, padded to a size."""
    return Message(topic, b"%d" % number + b" " * size, retain=False, qos=qos)


def status(payload: str = "running", topic: str = STATUS) -> Message:
    """Return a status."""
    return Message(topic, payload.encode(), retain=True, qos=1)


def listening(port: int) -> bool:
    """Say whether somebody listens at a port of this machine."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class RunningPublisher:
    """A publisher in its thread; its will is the status `lost`."""

    def __init__(self, urls: tuple[str, ...], backoff: BackoffSettings, capacity: int, keys: Mapping[str, Any]) -> None:
        self.outbox = Outbox(capacity, "drop_newest")
        self.inherited: queue.Queue[dict[str, bytes]] = queue.Queue()
        self.watchdog = Watchdog()
        self.publisher = Publisher(
            BrokerSettings(url=urls, **keys),
            "host",
            self.outbox,
            will=lambda: status("lost"),
            retained_filter=f"{BASE}/#",
            on_retained=(self.inherited.put,),
            backoff=backoff,
            watchdog=self.watchdog,
        )
        self._thread = threading.Thread(target=self.publisher.run, daemon=True)
        self._thread.start()

    def deliver(self, *messages: Message) -> None:
        """Put messages into the outbox, and return when the broker has answered for all of them."""
        for message in messages:
            self.announce(message) if message.retain else self.outbox.add_usage(message)
        assert self.outbox.wait_idle(WAIT), f"{self.outbox.counters()}, trouble: {self.publisher.trouble}"

    def announce(self, message: Message) -> None:
        """Put a status into the outbox."""
        self.outbox.add_status(message)

    def wait_connected(self, times: int = 1) -> None:
        """Wait until a broker has accepted the agent so often."""
        wait_until(lambda: self.publisher.counters()["connects"] >= times, WAIT, f"not connected {times} times")

    def wait_trouble(self, text: str = "") -> str:
        """Wait until there is trouble of which `text` is a part, and return what it is."""
        wait_until(
            lambda: self.publisher.trouble is not None and text in self.publisher.trouble,
            WAIT,
            f"no trouble with {text!r}",
        )
        return self.publisher.trouble or ""

    def stop(self, within: float = WAIT) -> float:
        """Ask it to stop within so many seconds; return how long that took. It must not take much longer."""
        began = time.monotonic()
        self.publisher.stop(began + within)
        self._thread.join(within + WAIT)
        assert not self._thread.is_alive(), "the publisher goes on"
        return time.monotonic() - began
