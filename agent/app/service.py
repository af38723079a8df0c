"""The wiring: every part is made here, started from the sink up and stopped from the source down.

Docker Engine ─ events ──► EngineWatcher ──► Supervisor ──► one Collector per container ─ usages ─┐
                                            │ statuses                                       ▼
                                            └──────────────────────────────────────────► Outbox
                                                                                             │
MQTT broker ◄─ messages ─────────────────────────────────────────────────────── Publisher ◄──┘
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from agent import __version__
from agent.app.agent_status import process_metrics
from agent.app.duplicate_agent import DuplicateAgentDetector
from agent.collection.collector import CollectorContext
from agent.collection.fallback import create_source
from agent.config import Config
from agent.containers.filter import ContainerFilter
from agent.containers.reconcile import RetainedStatusReconciler
from agent.containers.registry import ContainerRegistry
from agent.containers.retention import StatusRetention
from agent.containers.supervisor import Supervisor
from agent.containers.topic_names import TopicNames
from agent.containers.watcher import EngineWatcher
from agent.engine.client import EngineClient
from agent.kernel.host import core_mhz
from agent.messages.outbox import Outbox
from agent.messages.payloads import AgentCounters, AgentStatus, EngineInfo
from agent.messages.topics import Message, MessageBuilder
from agent.mqtt.errors import BrokerError
from agent.mqtt.publisher import Publisher
from agent.mqtt.stdout import StdoutPublisher
from agent.runtime.cancel import CancelToken
from agent.runtime.heartbeat import HeartbeatFile
from agent.runtime.logs import WarnOnce
from agent.runtime.scheduler import Scheduler
from agent.runtime.systemd import SystemdNotifier
from agent.runtime.timestamps import format_time
from agent.runtime.watchdog import MARGIN_SECONDS, Watchdog

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0  # seconds between two looks at how the threads are doing


class Service:
    """The running agent, until `ending` is set.

    `once`: one usage of every container, then the end. `dry_run`: printed, not published.
    """

    def __init__(self, config: Config, ending: CancelToken, once: bool = False, dry_run: bool = False) -> None:
        self._config = config
        self._once = once
        self._started = time.time_ns()
        self._status: AgentStatus = {
            "status": "running",
            "time": format_time(self._started),
            "version": __version__,
            "started_at": format_time(self._started),
            "interval": config.agent.interval,
        }
        self._telling = threading.Lock()  # of the agent's status: several threads know something of it
        self._ending = ending
        self._defect = False
        self._watchdog = Watchdog()
        self._notices = WarnOnce()
        self._scheduler = Scheduler("readings", watchdog=self._watchdog)
        self._systemd = SystemdNotifier(os.environ)
        self._heartbeat = HeartbeatFile(config.agent.host, os.environ)
        self._ready = False
        self._next_notice = 0.0

        topics = config.topics
        self._messages = MessageBuilder(topics.base, config.agent.host, config.broker.qos)
        own_topic = self._messages.agent_status(self._status).topic
        self._duplicates = DuplicateAgentDetector(config.agent.host, own_topic, self._status["started_at"])
        self._outbox = Outbox(config.outbox.capacity, config.outbox.on_full)
        self._engine = EngineClient(config.engine)
        self._source = create_source(config.engine.source, config.agent.interval, self._engine, self._tell)
        retention = StatusRetention(topics.forget_removed)
        selection = ContainerFilter(config.engine.include, config.engine.exclude)
        self._registry = ContainerRegistry(
            TopicNames(topics.container), selection, retention, self._outbox, self._messages
        )
        reconciler = RetainedStatusReconciler(self._registry, retention, self._messages)
        self._supervisor = Supervisor(self._registry, reconciler)
        self._watcher = EngineWatcher(
            self._engine, self._supervisor, self._watchdog, config.engine.timeout, self._engine_answered
        )
        self._embedded = _embedded_broker() if config.broker.embedded and not dry_run else None
        self._publisher: Publisher | StdoutPublisher = (
            StdoutPublisher(self._outbox) if dry_run else self._make_publisher(reconciler)
        )

    def run(self) -> int:
        """Run until the end or, with `once`, until all is published. Returns the exit code: 0, or 1 if it failed."""
        with ExitStack() as stack:
            try:
                if self._embedded:
                    stack.enter_context(self._embedded)
            except BrokerError as error:
                log.error("%s", error)  # noqa: TRY400  # the message says all, with the remedy
                return 1
            self._tell()
            publisher = self._spawn("publisher", self._publisher.run)
            self._spawn("events", self._watcher.run)
            log.info("usage-agent %s: %s every %g s", __version__, self._config.agent.host, self._config.agent.interval)
            complete = self._watch_over()
            return self._end(publisher) if complete else self._end(publisher) or 1

    def _watch_over(self) -> bool:
        """Look after the threads every second until the end; with `once`, whether every container had its turn."""
        begun = time.monotonic()
        patience = 2 * self._config.engine.timeout + MARGIN_SECONDS
        next_counters = begun + self._config.agent.interval
        while not self._ending.wait(0.1 if self._once else TICK_SECONDS):
            now = time.monotonic()
            self._registry.clear_expired(now)
            self._report()
            if now >= next_counters:
                next_counters = max(next_counters + self._config.agent.interval, now)
                self._outbox.add_status(self._messages.agent_counters(self._counters(now - begun)))
            if self._once and self._supervisor.complete:
                return True
            if self._once and now > begun + patience:
                log.error("not every container had a usage within %.0f s", patience)
                return False
        return not self._once

    def _report(self) -> None:
        """Say how things are, to systemd and in the heartbeat file. The watchdog is fed only while all threads move."""
        overdue = self._watchdog.overdue()
        troubles = [f"{name} hangs" for name in overdue]
        troubles += [trouble for trouble in (self._watcher.trouble, self._publisher.trouble) if trouble]
        self._heartbeat.write(troubles)
        counters, collectors = self._outbox.counters(), len(self._supervisor.collectors)
        # The publisher has no trouble to tell either while its first attempt lasts.
        published = counters["sent"] or (not collectors and self._outbox.idle)
        if not self._ready and not troubles and published:
            self._ready = True
            self._systemd.notify("READY=1")
        if not overdue and time.monotonic() >= self._next_notice:
            self._next_notice = time.monotonic() + self._systemd.interval
            usages = "{sent} usages sent, {dropped} dropped, {waiting} waiting".format_map(counters)
            status = "; ".join(troubles) or f"{collectors} containers, {usages}"
            self._systemd.notify("WATCHDOG=1", f"STATUS={status}")

    def _end(self, publisher: threading.Thread) -> int:
        """Stop from the source down, within the deadline. What has not left by then stays unsent."""
        deadline = time.monotonic() + self._config.shutdown.timeout
        log.info("ending within %g s", self._config.shutdown.timeout)
        self._systemd.notify("STOPPING=1")
        self._watcher.stop()  # first what brings new work, then what does it, then what carries it away
        self._supervisor.stop()
        if self._publisher.connected:  # usages before the goodbyes, but the goodbyes must have time to leave
            self._outbox.wait_idle((deadline - time.monotonic()) / 2)
        self._supervisor.publish_agent_exit()
        self._outbox.close()
        self._tell(status="stopped", reason="exit")
        self._publisher.stop(deadline)
        publisher.join(max(deadline - time.monotonic(), 0) + 1)
        self._heartbeat.remove()
        return self._summary()

    def _summary(self) -> int:
        counters = self._outbox.counters()
        log.info("ended: %(added)d usages, %(sent)d sent, %(dropped)d dropped, %(waiting)d unsent", counters)
        unsent = self._once and counters["sent"] < counters["added"]
        return 1 if self._defect or unsent else 0

    def _make_publisher(self, reconciler: RetainedStatusReconciler) -> Publisher:
        return Publisher(
            self._config.broker,
            self._config.agent.host,
            self._outbox,
            will=self._will,
            retained_filter=self._messages.own_topics,
            on_retained=(self._duplicates.check, reconciler.add),
            backoff=self._config.backoff,
            watchdog=self._watchdog,
        )

    def _engine_answered(self, info: EngineInfo) -> None:
        config = self._config
        self._supervisor.start(
            CollectorContext(
                engine=self._engine,
                source=self._source,
                interval=config.agent.interval,
                timeout=config.engine.timeout,
                backoff=config.backoff,
                core_mhz=core_mhz() if self._engine.local else None,
                watchdog=self._watchdog,
                usage_limit=1 if self._once else None,
                warn_once=self._notices,
                scheduler=self._scheduler,
            )
        )
        log.info("engine %s, API %s, cgroup v%s; source %s", *_words(info), self._source.name)
        self._tell(engine=info)

    def _tell(self, **news: Any) -> None:
        """Say how the agent stands, with what is new, the source too; from any thread. `stopped` is the last word."""
        with self._telling:
            if self._status["status"] == "running":
                self._status = self._status_with(**news)
                if "engine" in self._status:
                    self._status["source"] = self._source.name  # asked for here, so that the newest is told last
                self._outbox.add_status(self._messages.agent_status(self._status))

    def _will(self) -> Message:
        return self._messages.agent_status(self._status_with(status="stopped", reason="connection lost"))

    def _status_with(self, **news: Any) -> AgentStatus:
        return {**self._status, "time": format_time(time.time_ns()), **news}  # type: ignore[typeddict-item]

    def _counters(self, uptime: float) -> AgentCounters:
        return {
            "time": format_time(time.time_ns()),
            "uptime": round(uptime, 3),
            "containers": len(self._supervisor.collectors),
            "outbox": self._outbox.counters(),
            "engine": self._engine.counters(),
            "broker": self._publisher.counters(),
            "process": process_metrics(),
        }

    def _spawn(self, name: str, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=partial(self._guard, run), name=name, daemon=True)
        thread.start()
        return thread

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BrokenPipeError:  # --dry-run into a program that has read enough
            self._ending.set()
        except Exception:  # the edge of the thread: without it nothing works, so the agent ends, and says why
            log.exception("the agent ends by a defect of its own")
            self._defect = True
            self._ending.set()


def _words(info: EngineInfo) -> tuple[str, str, str]:
    return info["version"], info["api"], info.get("cgroup", " unknown")


def _embedded_broker() -> AbstractContextManager[object]:
    # Only who asks for one keeps it in memory.
    from agent.mqtt.embedded import EmbeddedBroker

    return EmbeddedBroker()
