"""What the main thread does while the other threads work: it looks after them, once a second.

each second      what has changed for Home Assistant is published
                 retained statuses of removed containers expire
                 Watchdog, EngineWatcher, Publisher ──► heartbeat file, READY=1, WATCHDOG=1 and STATUS= of systemd
each interval    the agent's counters are published
at a SIGHUP      the configuration is read anew
with `--once`    the loop ends when every container had its usages and the broker has them, or when that took too long
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agent.app.agent_status import AgentCountersPublisher
from agent.app.reload import Reloader
from agent.containers.registry import ContainerRegistry
from agent.containers.supervisor import Supervisor
from agent.containers.watcher import EngineWatcher
from agent.home_assistant.publisher import DiscoveryPublisher
from agent.messages.outbox import Outbox
from agent.mqtt.publisher import Publisher
from agent.mqtt.stdout import StdoutPublisher
from agent.runtime.cancel import CancelToken
from agent.runtime.heartbeat import HeartbeatFile
from agent.runtime.signals import ReloadRequest
from agent.runtime.systemd import SystemdNotifier
from agent.runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
MAX_SILENT_SHOWN = 3  # containers
ONCE_CHECK_SECONDS = 0.1  # with `--once`, where a user waits for the end
NOTHING_PUBLISHED = "no usage was published yet"


class HealthReporter:
    """Reports how the agent's threads are doing, to systemd and in the heartbeat file. For the main thread."""

    def __init__(
        self,
        heartbeat: HeartbeatFile,
        systemd: SystemdNotifier,
        watchdog: Watchdog,
        outbox: Outbox,
        supervisor: Supervisor,
        watcher: EngineWatcher,
        publisher: Publisher | StdoutPublisher,
    ) -> None:
        self._heartbeat = heartbeat
        self._systemd = systemd
        self._watchdog = watchdog
        self._outbox = outbox
        self._supervisor = supervisor
        self._watcher = watcher
        self._publisher = publisher
        self._ready = False
        self._first_usage_settled = False  # a usage was sent, or there is no container that could have one
        self._reported: list[str] = []  # the troubles in systemd's status
        self._next_notice = 0.0  # monotonic

    def report(self) -> None:
        """Report the state now. systemd's watchdog is fed only while no thread is overdue.

        READY=1 is sent at the first report without an overdue thread, even if engine or broker are away. If the start
        waited for them, so would the boot, and every unit that is ordered after the agent. STATUS= names what is
        missing.
        """
        overdue = self._watchdog.overdue()
        troubles = [f"{name} hangs" for name in overdue]
        troubles += [trouble for trouble in (self._watcher.trouble, self._publisher.trouble) if trouble]
        counters, collectors = self._outbox.counters(), len(self._supervisor.collectors)
        if not troubles and not self._first_usage_settled:
            # Until its first attempt is over, the publisher has no trouble to tell: NOTHING_PUBLISHED is told instead.
            self._first_usage_settled = bool(counters["sent"] or (not collectors and self._outbox.idle))
            troubles += [] if self._first_usage_settled else [NOTHING_PUBLISHED]
        troubles += _silent(self._supervisor.troubles)
        self._heartbeat.write(troubles)
        if not self._ready and not overdue:
            self._ready = True
            self._systemd.notify("READY=1")
        if not overdue and (troubles != self._reported or time.monotonic() >= self._next_notice):
            self._reported, self._next_notice = troubles, time.monotonic() + self._systemd.interval
            usages = "{sent} usages sent, {dropped} dropped, {waiting} waiting".format_map(counters)
            status = "; ".join(troubles) or f"{collectors} containers, {usages}"
            self._systemd.notify("WATCHDOG=1", f"STATUS={status}")

    @property
    def absent(self) -> str | None:
        """What does not answer, the engine or the broker; None if both do."""
        if self._watcher.trouble:
            return "an answer of the engine"
        return "a connection to the broker" if self._publisher.trouble else None

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that the configuration is read anew while the block runs, and afterwards that the agent goes on."""
        if self._ready:  # before that, READY=1 would say that the start is over
            self._systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if self._ready:
                self._systemd.notify("READY=1")

    def report_stopping(self) -> None:
        """Report that the agent was asked to end, and is ending."""
        self._systemd.notify("STOPPING=1")

    def report_stopped(self) -> None:
        """Remove the heartbeat file: the agent has ended as it was asked to."""
        self._heartbeat.remove()


def _silent(causes: Sequence[tuple[str, str]]) -> list[str]:
    """Return lines on the containers that run without usages, for people: not all, if there are many."""
    lines = [f"{name} runs without usages: {cause}" for name, cause in causes[:MAX_SILENT_SHOWN]]
    more = len(causes) - len(lines)
    return [*lines, f"{more} more containers run without usages"] if more else lines


class Monitor:
    """Runs on the main thread from the start of the other threads to the end.

    Args:
        ending: ends the loop.
        reload: the request that each SIGHUP makes.
        engine_timeout: seconds after which a call to the engine fails.
        once: end the loop when every container had its usages and nothing waits in the outbox, at the latest after
            twice the `engine_timeout`.
    """

    def __init__(
        self,
        ending: CancelToken,
        reload: ReloadRequest,
        engine_timeout: float,
        once: bool,
        registry: ContainerRegistry,
        supervisor: Supervisor,
        discovery: DiscoveryPublisher,
        health: HealthReporter,
        reloader: Reloader,
        counters: AgentCountersPublisher,
        outbox: Outbox,
    ) -> None:
        self._ending = ending
        self._reload = reload
        self._completion_timeout = 2 * engine_timeout
        self._once = once
        self._registry = registry
        self._supervisor = supervisor
        self._discovery = discovery
        self._health = health
        self._reloader = reloader
        self._counters = counters
        self._outbox = outbox

    def run(self) -> bool:
        """Look after the threads until the end.

        Returns:
            Whether the agent did what it was started for. With `once`: whether every container had its usages, and all
            of them were delivered. Without it: True.
        """
        started = next_counters = time.monotonic()
        next_counters += self._reloader.config.agent.interval
        while not self._ending.wait(ONCE_CHECK_SECONDS if self._once else CHECK_SECONDS):
            now = time.monotonic()
            if self._discovery.run_pending(now):
                next_counters = min(
                    next_counters, now + CHECK_SECONDS
                )  # for Home Assistant, to which the host was announced
            self._registry.clear_expired(now, self._discovery.release)
            self._health.report()
            if self._reload.take():
                with self._health.reloading():
                    self._reloader.reload()
            interval = self._reloader.config.agent.interval
            next_counters = min(next_counters, now + interval)  # a reload may have made the interval shorter
            if now >= next_counters:
                next_counters = max(next_counters + interval, now)
                self._counters.publish(now - started)
            if self._once and self._supervisor.complete and self._outbox.idle:
                return True
            if self._once and now > started + self._completion_timeout:
                missing = self._missing()
                log.error("after %g s, twice engine.timeout, still missing: %s", self._completion_timeout, missing)
                return False
        return not self._once

    def _missing(self) -> str:
        complete = self._supervisor.complete
        return self._health.absent or ("the broker's acknowledgements" if complete else "usages of some containers")
