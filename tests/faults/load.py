"""Many containers of the fake engine: minutes of messages within seconds."""

import itertools
import time
from dataclasses import dataclass
from typing import Any

from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Received
from support.fakes.container import Document
from support.fakes.engine import FakeEngine

GROWTH = 3_000_000  # bytes; a thousand messages kept by mistake are half of that, and these tests make thousands
SOCKETS = 10  # to the engine and the broker, that come and go


class Load:
    """Containers on the fake engine that send stats every half second, and count their documents."""

    def __init__(self, engine: FakeEngine, size: int) -> None:
        engine.tick = 0.5
        self.names = [f"c{number:03}" for number in range(size)]
        self._count = itertools.count(1)
        self._told = 0
        for name in self.names:
            engine.run(name, change=self._tell)

    def wait_for(self, documents: int) -> None:
        """Wait until the engine has sent so many more documents."""
        goal = self._told + documents
        wait_until(lambda: self._told >= goal, PATIENCE, f"{goal - self._told} documents of {documents} are missing")

    def settled(self, subscriber: RecordingSubscriber, after: float) -> Any:
        """Wait until nothing waits in the outbox and every container has published again; return the counters then."""
        subscriber.wait_for(self._drained, after=after)
        drained = time.monotonic()
        for name in self.names:
            subscriber.usages(name, after=drained)
        return subscriber.counters(after=time.monotonic())

    def missing(self, subscriber: RecordingSubscriber) -> int:
        """Return how many usages never arrived."""
        return sum(subscriber.missing(name) for name in self.names)

    def _drained(self, message: Received) -> bool:
        return message.topic == f"{ROOT}/agent" and bool(message.json["outbox"]["waiting"] <= len(self.names))

    def _tell(self, _: Document) -> None:
        self._told = next(self._count)


@dataclass(frozen=True)
class Footprint:
    """What an agent occupies, seen from outside."""

    rss: int
    threads: int
    fds: int

    @classmethod
    def of(cls, running: RunningAgent) -> "Footprint":
        """Measure an agent now."""
        return cls(running.rss(), running.threads(), running.fds())

    def assert_kept(self, running: RunningAgent) -> None:
        """Fail if an agent has grown."""
        now = Footprint.of(running)
        assert now.rss - self.rss < GROWTH, f"{self} has become {now}"
        assert now.threads <= self.threads, f"{self} has become {now}"
        assert now.fds <= self.fds + SOCKETS, f"{self} has become {now}"


def came(subscriber: RecordingSubscriber, name: str) -> list[int]:
    """Return the numbers of a container's usages that a subscriber has received, in the order of their arrival."""
    topic = f"{ROOT}/{name}/usage"
    return [message.json["seq"] for message in list(subscriber.messages) if message.topic == topic]


def wait_for_all(subscriber: RecordingSubscriber, count: int) -> None:
    """Wait until `count` containers have a usage."""

    def known(_: object) -> bool:
        return sum(topic.endswith("/usage") for topic in list(subscriber.by_topic)) >= count

    subscriber.wait_for(known)
    assert subscriber.messages[0].topic.startswith(ROOT)
