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
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from agent import __version__
from agent.app.agent_status import AgentCountersPublisher
from agent.app.host_name import container_id_warning
from agent.app.monitor import HealthReporter, Monitor
from agent.app.parts import Parts
from agent.app.reload import Reloader
from agent.app.thread_guard import ThreadGuard
from agent.config import Config
from agent.containers.watcher import EngineWatcher
from agent.messages.payloads import EngineInfo
from agent.mqtt.errors import BrokerError
from agent.mqtt.stdout import StdoutPublisher
from agent.runtime.cancel import CancelToken
from agent.runtime.heartbeat import HeartbeatFile
from agent.runtime.signals import ReloadRequest
from agent.runtime.systemd import SystemdNotifier
from agent.runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

JOIN_MARGIN_SECONDS = 1.0  # the publisher ends by itself at the deadline; its thread may need a moment more


class Service:
    """The running agent.

    Args:
        config: the configuration.
        load: reads the configuration anew; raises ConfigError.
        ending: ends the agent when it is set.
        reload: asks for the configuration to be read anew.
        once: publish one usage of every container, then end.
        dry_run: print what would be published, and use no broker.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        ending: CancelToken,
        reload: ReloadRequest,
        once: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._config = config
        self._ending = ending
        self._once = once
        self._threads = ThreadGuard(ending)
        self._watchdog = Watchdog()
        self._embedded = _embedded_broker() if config.broker.embedded and not dry_run else None
        self._parts = parts = Parts(config, self._watchdog, lambda: self._watcher.trouble is None, once, dry_run)
        self._watcher = EngineWatcher(
            parts.engine, parts.supervisor, self._watchdog, config.engine.timeout, self._on_engine_connected
        )
        self._health = self._make_health_reporter()
        self._monitor = self._make_monitor(Reloader(config, load, parts), reload)

    def run(self) -> int:
        """Run until the end. Return the exit code.

        The exit code is 1 if the embedded broker did not start, a thread failed, or `once` did not publish everything;
        else 0.
        """
        with ExitStack() as stack:
            try:
                if self._embedded:
                    stack.enter_context(self._embedded)
            except BrokerError as error:
                log.error("%s", error)  # noqa: TRY400  # the message says all, with the remedy
                return 1
            self._parts.status.publish()
            publisher = self._threads.start("publisher", self._parts.publisher.run)
            self._threads.start("events", self._watcher.run)
            if isinstance(self._parts.publisher, StdoutPublisher):
                self._parts.add_retained({})  # there is no broker that could have retained any
            log.info("usage-agent %s: %s every %g s", __version__, self._config.agent.host, self._config.agent.interval)
            if warning := container_id_warning(self._config.agent.host, os.environ):
                log.warning("%s", warning)
            complete = self._monitor.run()
            code = self._stop(publisher)
            return code if complete else 1

    def _stop(self, publisher: threading.Thread) -> int:
        """Stop the parts in the order of the flow, the engine's side first, before one deadline. Return the exit code.

        What was not sent by the deadline is never sent. Only the publisher's thread is joined: the other threads have
        nothing left to publish, and may be waiting for an engine that does not answer.
        """
        timeout = self._config.shutdown.timeout
        deadline = time.monotonic() + timeout
        log.info("ending within %g s", timeout)
        self._health.report_stopping()
        # First what brings new containers, then what collects usages: after these two calls no usage is added.
        self._watcher.stop()
        self._parts.supervisor.stop()
        # Let the usages leave first, but keep half of the time for the statuses.
        if self._parts.publisher.connected:
            self._parts.outbox.wait_idle((deadline - time.monotonic()) / 2)
        self._parts.supervisor.publish_agent_exit()
        self._parts.outbox.close()
        # The agent's own status is the last message: after it nothing is added for the publisher to deliver.
        self._parts.status.publish_stopped()
        self._parts.publisher.stop(deadline)
        publisher.join(max(deadline - time.monotonic(), 0) + JOIN_MARGIN_SECONDS)
        self._health.report_stopped()
        return self._summarize()

    def _summarize(self) -> int:
        counters = self._parts.outbox.counters()
        log.info("ended: %(added)d usages, %(sent)d sent, %(dropped)d dropped, %(waiting)d unsent", counters)
        unsent = self._once and counters["sent"] < counters["added"]
        return 1 if self._threads.failed or unsent else 0

    def _on_engine_connected(self, info: EngineInfo) -> None:
        """Let the supervisor begin, and publish which engine it is.

        Called on the events thread each time the engine has been connected.
        """
        self._parts.supervisor.set_context(self._parts.collection)
        source, cgroup = self._parts.collection.source, info.get("cgroup", " unknown")
        name = f"; source {source.name}" if source.name_is_settled else ""  # else the source logs it later
        log.info("engine %s, API %s, cgroup v%s%s", info["version"], info["api"], cgroup, name)
        self._parts.status.set_engine(info, source)

    def _make_health_reporter(self) -> HealthReporter:
        return HealthReporter(
            HeartbeatFile(self._config.agent.host, os.environ),
            SystemdNotifier(os.environ),
            self._watchdog,
            self._parts.outbox,
            self._parts.supervisor,
            self._watcher,
            self._parts.publisher,
        )

    def _make_monitor(self, reloader: Reloader, reload: ReloadRequest) -> Monitor:
        parts = self._parts
        counters = AgentCountersPublisher(
            parts.messages, parts.outbox, parts.registry, parts.supervisor, parts.engine, parts.publisher
        )
        return Monitor(
            self._ending,
            reload,
            self._config.engine.timeout,
            self._once,
            parts.registry,
            parts.supervisor,
            parts.discovery,
            self._health,
            reloader,
            counters,
            parts.outbox,
        )


def _embedded_broker() -> AbstractContextManager[object]:
    # Imported only if it is configured: otherwise it would take memory for nothing.
    from agent.mqtt.embedded import EmbeddedBroker

    return EmbeddedBroker()
