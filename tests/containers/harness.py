"""All parts from a fake engine to an outbox; what is published is read as a subscriber would read it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson
from support.daemons.processes import wait_until
from support.fakes.engine import FakeEngine

from agent.collection.context import CollectorContext
from agent.collection.engine_source import StreamSource
from agent.collection.kernel_source import KernelSource
from agent.config import EngineSettings
from agent.containers.filter import ContainerFilter
from agent.containers.reconcile import RetainedStatusReconciler
from agent.containers.registry import ContainerRegistry
from agent.containers.retention import StatusRetention
from agent.containers.supervisor import Supervisor
from agent.containers.topic_names import TopicNames
from agent.containers.watcher import EngineWatcher
from agent.engine.client import EngineClient
from agent.kernel.reader import KernelReader
from agent.messages.outbox import Outbox
from agent.messages.payloads import EngineInfo
from agent.messages.topics import MessageBuilder
from agent.runtime.logs import WarnOnce
from agent.runtime.retry import BackoffPolicy
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
    """Watcher, supervisor and outbox on a fake engine. `published` is what came out of the outbox, in order.

    Usages are made of the engine's streams, or with `kernel` of the kernel's files.

    Attributes:
        connects: how often the watcher has said that it is connected.
    """

    def __init__(
        self,
        fake: FakeEngine,
        template: str = "{name}",
        forget: float = 600,
        timeout: float = 5,
        kernel: KernelReader | None = None,
        **engine: Any,
    ) -> None:
        self.fake = fake
        self.published: list[PublishedMessage] = []
        self._changed = threading.Condition()
        self.scheduler = Scheduler("readings")
        self.messages = MessageBuilder("containers", "host", qos=1)
        self.outbox = Outbox(1000, "drop_newest", self._drain)
        settings = EngineSettings(url=f"unix://{fake.socket}", timeout=timeout, **engine)
        self.engine = EngineClient(settings)
        self._source = KernelSource(self.engine, kernel) if kernel else StreamSource(self.engine)
        retention = StatusRetention(forget)
        selection = ContainerFilter(settings.include, settings.exclude)
        self.registry = ContainerRegistry(TopicNames(template), selection, retention, self.outbox, self.messages)
        self.supervisor = Supervisor(self.registry, RetainedStatusReconciler(self.registry, retention, self.messages))
        self.connects = 0
        self.watcher = EngineWatcher(self.engine, self.supervisor, Watchdog(), settings.timeout, self._start)
        self._thread = threading.Thread(target=self.watcher.run, daemon=True)
        self._thread.start()

    def wait(self, condition: Callable[[], bool], timeout: float = 20) -> None:
        """Wait until something that was published makes `condition` true."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout), f"after {timeout} s: {self.describe()}"

    def expect(self, *summaries: str, of: str = "web", usages: bool = False) -> list[PublishedMessage]:
        """Wait until exactly these statuses were published at a level, in this order; return the messages."""
        self.wait(lambda: [message.summary for message in self.published_at(of, usages)] == list(summaries))
        return self.published_at(of, usages)

    def published_at(self, level: str, usages: bool = False) -> list[PublishedMessage]:
        """Return what was published at this level: its statuses, and if asked for its usages."""
        ends = ("/status", "/usage") if usages else ("/status",)
        return [message for message in list(self.published) if message.topic in [level + end for end in ends]]

    def usages(self, level: str = "web") -> list[int]:
        """Return the `seq` of each usage of this level so far."""
        messages = self.published_at(level, usages=True)
        return [message.payload["seq"] for message in messages if message.summary == "usage"]

    def levels(self) -> set[str]:
        """Return the levels at which anything was published, without those of marker containers."""
        levels = {message.topic.partition("/")[0] for message in list(self.published)}
        return {level for level in levels if not level.startswith("marker-")}

    def wait_for_trouble(self, timeout: float = 20) -> None:
        """Wait until the watcher has noticed that the engine is away."""
        wait_until(lambda: self.watcher.trouble is not None, timeout, "the outage is not noticed")

    def wait_for_inspect(self, container_id: str, timeout: float = 20) -> None:
        """Wait until a container was inspected, and what follows from that was published."""

        def inspected() -> bool:
            with self.registry.lock:  # held while all that follows from the inspect is published
                tracked = self.registry.get(container_id)
                return tracked is not None and tracked.status.container is not None

        wait_until(inspected, timeout, "the container is not inspected")

    def wait_for_retries(self, retries: int, timeout: float = 20) -> None:
        """Wait until so many retries of failed calls to the engine were scheduled."""
        wait_until(lambda: self.engine.counters()["retries"] >= retries, timeout, "the call is not retried")

    def wait_for_workers(self, timeout: float = 20) -> None:
        """Wait until the workers have nothing left to do, and no collector runs."""
        wait_until(lambda: self.supervisor.complete, timeout, "a worker or a collector is still running")

    def wait_for_events(self) -> None:
        """Wait until every event before now was processed: a later container was started and removed."""
        name = f"marker-{next(MARKERS)}"
        marker = self.fake.run(name)
        self.expect("running", of=name)
        self.fake.destroy(marker)
        self.expect("running", "exited", "removed", of=name)

    def describe(self) -> str:
        """Return everything that was published, in short."""
        return ", ".join(f"{message.topic}: {message.summary}" for message in list(self.published)) or "nothing"

    def close(self) -> None:
        """Stop as the service does."""
        self.watcher.stop()
        self.supervisor.stop()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the events thread does not end"
        self.scheduler.stop()
        collectors = self.supervisor.collectors
        wait_until(lambda: all(collector.finished for collector in collectors), 20, "a collector does not end")

    def _start(self, info: EngineInfo) -> None:
        self.connects += 1
        backoff = BackoffPolicy(0.1, 1, 0.1)
        assert info["version"] == self.fake.version
        self.supervisor.set_context(
            CollectorContext(
                engine=self.engine,
                source=self._source,
                interval=0.5,
                timeout=5,
                backoff=backoff,
                core_mhz=1000.0,
                watchdog=Watchdog(),
                scheduler=self.scheduler,
                usage_limit=None,
                warn_once=WarnOnce(),
                engine_answers=lambda: self.watcher.trouble is None,
            )
        )

    def _drain(self) -> None:
        with self._changed:
            while delivery := self.outbox.take():
                self.outbox.ack(delivery)
                topic, payload = delivery.message.topic, delivery.message.payload
                content = orjson.loads(payload) if payload else None
                self.published.append(PublishedMessage(topic.removeprefix("containers/host/"), content))
            self._changed.notify_all()


MakeHarness = Callable[..., ContainersHarness]
