"""The composition root: makes the agent's parts, starts the broker's side first and stops the engine's side first.

Docker Engine ─ events ──► EngineWatcher ──► Supervisor ──► one Collector per container ─ usages ─┐
                                                  │ statuses                                      ▼
                                                  └──────────────────────────────────────────► Outbox
                                                                                                  │
MQTT broker ◄─ messages ───────────────────────────────────────────────────────── Publisher ◄─────┘

Threads: "publisher" runs the Publisher, "events" the EngineWatcher, the main thread the Monitor. The Supervisor and the
collectors have threads of their own.

"Publish" means "put into the outbox" for the classes called …StatusPublisher and …CountersPublisher, and "send to the
broker" for Publisher.
"""

import logging
import os
import threading
import time
from contextlib import AbstractContextManager, ExitStack

from agent import __version__
from agent.app.agent_status import AgentCountersPublisher, AgentStatusPublisher
from agent.app.duplicate_agent import DuplicateAgentDetector
from agent.app.host_name import container_id_warning
from agent.app.monitor import HealthReporter, Monitor
from agent.app.threads import ThreadGuard
from agent.collection.context import CollectorContext
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
from agent.home_assistant.inventory import Inventory
from agent.home_assistant.publisher import DiscoveryPublisher
from agent.kernel.host import core_mhz
from agent.messages.outbox import Outbox
from agent.messages.payloads import EngineInfo
from agent.messages.topics import MessageBuilder
from agent.mqtt.errors import BrokerError
from agent.mqtt.publisher import Publisher
from agent.mqtt.stdout import StdoutPublisher
from agent.runtime.cancel import CancelToken
from agent.runtime.heartbeat import HeartbeatFile
from agent.runtime.logs import WarnOnce
from agent.runtime.scheduler import Scheduler
from agent.runtime.systemd import SystemdNotifier
from agent.runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

JOIN_MARGIN_SECONDS = 1.0  # the publisher ends by itself at the deadline; its thread may need a moment more


class Service:
    """The running agent.

    Args:
        config: the configuration.
        ending: ends the agent when it is set.
        once: publish one usage of every container, then end.
        dry_run: print what would be published, and use no broker.
    """

    def __init__(self, config: Config, ending: CancelToken, once: bool = False, dry_run: bool = False) -> None:
        self._config = config
        self._ending = ending
        self._once = once
        self._threads = ThreadGuard(ending)
        self._watchdog = Watchdog()
        self._embedded = _embedded_broker() if config.broker.embedded and not dry_run else None

        # Messages, and the outbox where they wait.
        self._outbox = Outbox(config.outbox.capacity, config.outbox.on_full)
        self._messages = MessageBuilder(config.topics.base, config.agent.host, config.broker.qos)
        self._status = AgentStatusPublisher(config, self._messages, self._outbox)
        self._duplicates = DuplicateAgentDetector(config.agent.host, self._status.topic, self._status.started_at)

        self._engine = EngineClient(config.engine)

        # The containers: which there are, and what is published of them.
        retention = StatusRetention(config.topics.forget_removed)
        registry = ContainerRegistry(
            TopicNames(config.topics.container),
            ContainerFilter(config.engine.include, config.engine.exclude),
            retention,
            self._outbox,
            self._messages,
        )
        self._supervisor = Supervisor(registry, RetainedStatusReconciler(registry, retention, self._messages))
        self._discovery = self._make_discovery(registry)

        # The sink: what carries messages away, and brings what the broker had retained.
        self._publisher = StdoutPublisher(self._outbox) if dry_run else self._make_publisher()

        # The source: the engine, and where readings come from.
        self._readings = Scheduler("readings", watchdog=self._watchdog)
        self._source = create_source(
            config.engine.source, config.agent.interval, self._engine, on_change=self._status.publish
        )
        self._warn_once = WarnOnce()
        self._watcher = EngineWatcher(
            self._engine, self._supervisor, self._watchdog, config.engine.timeout, self._on_engine_connected
        )

        # What looks after all of them.
        self._health = self._make_health_reporter()
        self._monitor = self._make_monitor(registry)

    def run(self) -> int:
        """Run until the end. Return the exit code.

        It is 1 if the embedded broker did not start, a thread failed, or `once` did not publish everything; else 0.
        """
        with ExitStack() as stack:
            try:
                if self._embedded:
                    stack.enter_context(self._embedded)
            except BrokerError as error:
                log.error("%s", error)  # noqa: TRY400  # the message says all, with the remedy
                return 1
            self._status.publish()
            publisher = self._threads.start("publisher", self._publisher.run)
            self._threads.start("events", self._watcher.run)
            if isinstance(self._publisher, StdoutPublisher):
                self._on_retained({})  # there is no broker that could have retained any
            log.info("usage-agent %s: %s every %g s", __version__, self._config.agent.host, self._config.agent.interval)
            if warning := container_id_warning(self._config.agent.host, os.environ):
                log.warning("%s", warning)
            complete = self._monitor.run()
            code = self._stop(publisher)
            return code if complete else 1

    def _stop(self, publisher: threading.Thread) -> int:
        """Stop from the source down, within one deadline. Return the exit code.

        What has not left by the deadline stays unsent. Only the publisher is joined: the other threads have nothing
        left to say, and may be waiting for an engine that does not answer.
        """
        timeout = self._config.shutdown.timeout
        deadline = time.monotonic() + timeout
        log.info("ending within %g s", timeout)
        self._health.report_stopping()
        # First what brings new containers, then what collects usages: after these two calls no usage is added.
        self._watcher.stop()
        self._supervisor.stop()
        # Let the usages leave first, but keep half of the time for the statuses.
        if self._publisher.connected:
            self._outbox.wait_idle((deadline - time.monotonic()) / 2)
        self._supervisor.publish_agent_exit()
        self._outbox.close()
        # The agent's own status is the last word, and with it everything is there for the publisher to deliver.
        self._status.publish_stopped()
        self._publisher.stop(deadline)
        publisher.join(max(deadline - time.monotonic(), 0) + JOIN_MARGIN_SECONDS)
        self._health.report_stopped()
        return self._summarize()

    def _summarize(self) -> int:
        counters = self._outbox.counters()
        log.info("ended: %(added)d usages, %(sent)d sent, %(dropped)d dropped, %(waiting)d unsent", counters)
        unsent = self._once and counters["sent"] < counters["added"]
        return 1 if self._threads.failed or unsent else 0

    def _on_engine_connected(self, info: EngineInfo) -> None:
        """Hand the supervisor a context for this engine, and publish which engine it is.

        Called on the events thread each time the engine has been connected.
        """
        self._supervisor.start(
            CollectorContext(
                engine=self._engine,
                source=self._source,
                interval=self._config.agent.interval,
                timeout=self._config.engine.timeout,
                backoff=self._config.backoff,
                core_mhz=core_mhz() if self._engine.local else None,
                watchdog=self._watchdog,
                scheduler=self._readings,
                usage_limit=1 if self._once else None,
                warn_once=self._warn_once,
                engine_answers=lambda: self._watcher.trouble is None,
            )
        )
        cgroup = info.get("cgroup", " unknown")
        source = f"; source {self._source.name}" if self._source.decided else ""  # else it is logged once it is decided
        log.info("engine %s, API %s, cgroup v%s%s", info["version"], info["api"], cgroup, source)
        self._status.set_engine(info, self._source)

    def _on_retained(self, retained: dict[str, bytes]) -> None:
        """Hand on what the broker had retained. Called on the publisher's thread after each connect."""
        self._duplicates.check(retained)
        self._supervisor.add_retained(retained)
        self._discovery.add_retained(retained)

    def _make_discovery(self, registry: ContainerRegistry) -> DiscoveryPublisher:
        inventory = Inventory(
            registry,
            self._messages,
            interval=self._config.agent.interval,
            has_machine=self._engine.local,
        )
        settings = self._config.home_assistant
        return DiscoveryPublisher(settings, inventory, registry, self._supervisor, self._messages, self._outbox)

    def _make_publisher(self) -> Publisher:
        return Publisher(
            self._config.broker,
            self._outbox,
            will=self._status.will,
            subscription=self._discovery.subscription,
            on_retained=self._on_retained,
            on_live=self._discovery.note_birth,
            backoff=self._config.backoff,
            watchdog=self._watchdog,
            interval=self._config.agent.interval,
        )

    def _make_health_reporter(self) -> HealthReporter:
        return HealthReporter(
            HeartbeatFile(self._config.agent.host, os.environ),
            SystemdNotifier(os.environ),
            self._watchdog,
            self._outbox,
            self._supervisor,
            self._watcher,
            self._publisher,
        )

    def _make_monitor(self, registry: ContainerRegistry) -> Monitor:
        return Monitor(
            self._ending,
            self._config.agent.interval,
            self._config.engine.timeout,
            self._once,
            registry,
            self._supervisor,
            self._discovery,
            self._health,
            AgentCountersPublisher(
                self._messages, self._outbox, registry, self._supervisor, self._engine, self._publisher
            ),
            self._outbox,
        )


def _embedded_broker() -> AbstractContextManager[object]:
    # Imported only if it is configured: otherwise it would take memory for nothing.
    from agent.mqtt.embedded import EmbeddedBroker

    return EmbeddedBroker()
