"""The supervisor between a fake engine and an outbox: what it says is read as a subscriber would read it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson
from support.daemons.processes import wait_until
from support.fakes.engine import FakeEngine

from agent.collection.collector import CollectorContext
from agent.collection.engine_source import StreamSource
from agent.config import BackoffSettings, EngineSettings
from agent.containers.filter import ContainerFilter
from agent.containers.reconcile import RetainedStatusReconciler
from agent.containers.registry import ContainerRegistry
from agent.containers.retention import StatusRetention
from agent.containers.supervisor import Supervisor
from agent.containers.topic_names import TopicNames
from agent.containers.watcher import EngineWatcher
from agent.engine.client import EngineClient
from agent.messages.outbox import Outbox
from agent.messages.payloads import EngineInfo
from agent.messages.topics import MessageBuilder
from agent.runtime.logs import WarnOnce
from agent.runtime.scheduler import Scheduler
from agent.runtime.watchdog import Watchdog

MARKERS = count()


@dataclass(frozen=True)
class PublishedMessage:
    """One message: the topic below `containers/host/`, and the payload; None where the topic was cleared."""

    topic: str
    payload: Any

    @property
    def summary(self) -> str:
        """The essence of a status: `running`, `exited`, `removed`, `cleared` …; `usage` for a usage."""
        if self.payload is None:
            return "cleared"
        if self.topic.endswith("/usage"):
            return "usage"
        return str(self.payload.get("reason") or self.payload["status"])


class ContainersHarness:
    """Everything from the engine to the outbox. `said` is what came out, in order."""

    def __init__(self, fake: FakeEngine, template: str = "{name}", forget: float = 600, **engine: Any) -> None:
        self.fake = fake
        self.published: list[PublishedMessage] = []
        self._changed = threading.Condition()
        self.scheduler = Scheduler("readings")
        self.messages = MessageBuilder("containers", "host", qos=1)
        self.outbox = Outbox(1000, "drop_newest", self._drain)
        settings = EngineSettings(url=f"unix://{fake.socket}", timeout=5, **engine)
        self.engine = EngineClient(settings)
        retention = StatusRetention(forget)
        selection = ContainerFilter(settings.include, settings.exclude)
        self.lives = ContainerRegistry(TopicNames(template), selection, retention, self.outbox, self.messages)
        self.supervisor = Supervisor(self.lives, RetainedStatusReconciler(self.lives, retention, self.messages))
        self.watcher = EngineWatcher(self.engine, self.supervisor, Watchdog(), settings.timeout, self._answered)
        self._thread = threading.Thread(target=self.watcher.run, daemon=True)
        self._thread.start()

    def wait(self, condition: Callable[[], bool], timeout: float = 20) -> None:
        """Wait until something that was said makes `condition` true."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout), f"after {timeout} s: {self.describe()}"

    def expect(self, *words: str, of: str = "web", usages: bool = False) -> list[PublishedMessage]:
        """Wait until just these words were said of a container, in this order; return what was said."""
        self.wait(lambda: [said.summary for said in self.published_at(of, usages)] == list(words))
        return self.published_at(of, usages)

    def published_at(self, level: str, usages: bool = False) -> list[PublishedMessage]:
        """What was said at this level: its statuses, or all with its usages."""
        ends = ("/status", "/usage") if usages else ("/status",)
        return [said for said in list(self.published) if said.topic in [level + end for end in ends]]

    def usages(self, level: str = "web") -> list[int]:
        """The `seq` of the usages of this level so far."""
        return [said.payload["seq"] for said in self.published_at(level, usages=True) if said.summary == "usage"]

    def wait_for_trouble(self, timeout: float = 20) -> None:
        """Wait until it was noticed that the engine is away."""
        wait_until(lambda: self.watcher.trouble is not None, timeout, "the engine is not missed")

    def wait_for_inspect(self, container_id: str, timeout: float = 20) -> None:
        """Wait until a container was looked at, and what was to be said of it was said."""

        def looked_at() -> bool:
            life = self.lives.get(container_id)
            return life is not None and life.container is not None and not life.busy

        wait_until(looked_at, timeout, "it is not looked at")

    def wait_for_attempts(self, container_id: str, count: int, timeout: float = 20) -> None:
        """Wait until so many looks at a container in a row have failed."""

        def failed() -> bool:
            life = self.lives.get(container_id)
            return life is not None and life.failures >= count

        wait_until(failed, timeout, "it is not looked at again")

    def describe(self) -> str:
        """Everything that was said, in short."""
        return ", ".join(f"{said.topic}: {said.summary}" for said in list(self.published)) or "nothing"

    def close(self) -> None:
        """End it as the service does."""
        self.watcher.stop()
        self.supervisor.stop()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the events thread does not end"
        self.scheduler.stop()
        collectors = self.supervisor.collectors
        wait_until(lambda: all(collector.finished for collector in collectors), 20, "a collector does not end")

    def _answered(self, info: EngineInfo) -> None:
        backoff = BackoffSettings(base=0.1, factor=1, cap=0.1)
        assert info["version"] == self.fake.version
        source = StreamSource(self.engine)
        watchdog = Watchdog()
        self.supervisor.start(
            CollectorContext(self.engine, source, 0.5, 5, backoff, 1000.0, watchdog, self.scheduler, None, WarnOnce())
        )

    def _drain(self) -> None:
        with self._changed:
            while delivery := self.outbox.take():
                self.outbox.ack(delivery)
                topic, payload = delivery.message.topic, delivery.message.payload
                told = orjson.loads(payload) if payload else None
                self.published.append(PublishedMessage(topic.removeprefix("containers/host/"), told))
            self._changed.notify_all()


def settled(one: ContainersHarness) -> None:
    """Wait until everything that has happened before now was dealt with: a marker container has come."""
    name = f"marker-{next(MARKERS)}"
    marker = one.fake.run(name)
    one.expect("running", of=name)
    one.fake.destroy(marker)
    one.expect("running", "exited", "removed", of=name)
