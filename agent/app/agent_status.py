"""What the agent publishes about itself: its retained status, its will, and its counters with the process metrics.

<base>/<host>/status   retained   status; the will is the same with `stopped` and `connection lost`
<base>/<host>/agent               counters, once an interval
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from agent import __version__
from agent.collection.source import Source
from agent.config import Config, HomeAssistantSettings
from agent.containers.registry import ContainerRegistry
from agent.containers.supervisor import Supervisor
from agent.engine.client import EngineClient
from agent.kernel.machine import Machine
from agent.messages.counters import AgentCounters, ProcessMetrics
from agent.messages.outbox import Outbox
from agent.messages.payloads import AgentStatus, EngineInfo
from agent.messages.topics import Message, MessageBuilder
from agent.mqtt.publisher import Publisher
from agent.mqtt.stdout import StdoutPublisher
from agent.runtime.timestamps import format_time


class AgentStatusPublisher:
    """Publishes the agent's own status. Every method may be called from any thread.

    Attributes:
        topic: where the status is published.
        started_at: when the agent was started, RFC 3339. It tells two agents of one host apart.
    """

    def __init__(self, config: Config, messages: MessageBuilder, outbox: Outbox) -> None:
        self.started_at = format_time(time.time_ns())
        self._messages = messages
        self._outbox = outbox
        self._lock = threading.Lock()  # guards the fields below, and the order in which statuses reach the outbox
        self._source: Source | None = None
        self._status: AgentStatus = {
            "status": "running",
            "time": self.started_at,
            "version": __version__,
            "started_at": self.started_at,
            "interval": config.agent.interval,
        }
        self._note_home_assistant(config.home_assistant)
        self.topic = messages.agent_status(self._status).topic

    def publish(self) -> None:
        """Publish the status as it is now; call this after the name of the source has changed."""
        with self._lock:
            self._publish(self._with_time())

    def set_interval(self, interval: float) -> None:
        """Publish the interval from now on."""
        with self._lock:
            self._publish({**self._with_time(), "interval": interval})

    def set_home_assistant(self, settings: HomeAssistantSettings) -> None:
        """Publish the status with the prefix of the discovery messages, or without one if they are disabled."""
        with self._lock:
            self._note_home_assistant(settings)
            self._publish(self._with_time())

    def set_engine(self, info: EngineInfo, source: Source) -> None:
        """Publish which engine has answered. From now on the status also names the source of the readings."""
        with self._lock:
            self._source = source
            self._publish({**self._with_time(), "engine": info})

    def publish_stopped(self) -> None:
        """Publish that the agent ends because it was asked to. Later calls publish nothing."""
        with self._lock:
            self._publish({**self._with_time(), "status": "stopped", "reason": "exit"})

    def will(self) -> Message:
        """Return what the broker publishes when the connection is lost."""
        with self._lock:
            status: AgentStatus = {**self._with_time(), "status": "stopped", "reason": "connection lost"}
        return self._messages.agent_status(status)

    def _note_home_assistant(self, settings: HomeAssistantSettings) -> None:
        if settings.enabled:
            self._status["home_assistant"] = settings.prefix
        else:
            self._status.pop("home_assistant", None)

    def _publish(self, status: AgentStatus) -> None:
        if self._status["status"] == "stopped":
            return
        if self._source:
            # Read under the lock, so that the status published last has the newest source name.
            status["source"] = self._source.name
        self._status = status
        self._outbox.add_status(self._messages.agent_status(status))

    def _with_time(self) -> AgentStatus:
        return {**self._status, "time": format_time(time.time_ns())}


class AgentCountersPublisher:
    """Publishes the agent's counters, which it collects from the parts that count. For the main thread only."""

    def __init__(
        self,
        messages: MessageBuilder,
        outbox: Outbox,
        registry: ContainerRegistry,
        supervisor: Supervisor,
        engine: EngineClient,
        publisher: Publisher | StdoutPublisher,
    ) -> None:
        # Made here, at the start, so that the first counters have the machine's CPU share.
        self._machine = Machine() if engine.local else None
        self._messages = messages
        self._outbox = outbox
        self._registry = registry
        self._supervisor = supervisor
        self._engine = engine
        self._publisher = publisher

    def publish(self, uptime: float) -> None:
        """Publish the counters as they are now.

        Args:
            uptime: seconds since the agent's start.
        """
        summary = self._registry.summarize()
        counters: AgentCounters = {
            "time": format_time(time.time_ns()),
            "uptime": round(uptime, 3),
            "containers": len(self._supervisor.collectors),
            "silent": len(self._supervisor.troubles),
            "stopped": summary.stopped,
            "unhealthy": summary.unhealthy,
            "total": summary.total,
            "outbox": self._outbox.counters(),
            "engine": self._engine.counters(),
            "broker": self._publisher.counters(),
            "process": process_metrics(),
        }
        if self._machine and (machine := self._machine.read()):
            counters["machine"] = machine
        self._outbox.add_status(self._messages.agent_counters(counters))


def process_metrics() -> ProcessMetrics:
    """Return CPU time, threads, memory and descriptors of the agent's own process (proc(5): statm, fd)."""
    times = os.times()
    metrics: ProcessMetrics = {
        "cpu_seconds": round(times.user + times.system, 3),
        "threads": threading.active_count(),
    }
    with suppress(OSError):
        metrics["rss"] = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        metrics["fds"] = _count_descriptors(Path("/proc/self/fd"))
    return metrics


def _count_descriptors(directory: Path) -> int:
    # From Linux 6.2 on the directory's size is the number of descriptors. On older kernels the size is 0, and the
    # descriptors are listed. That takes 2 ms for a thousand, and opens a descriptor, which is not counted.
    return directory.stat().st_size or sum(1 for _ in directory.iterdir()) - 1
