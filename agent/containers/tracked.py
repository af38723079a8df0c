"""One container's public life: what is said of it, and at which level."""

import time
from collections import deque
from typing import Any, Literal

from agent.collection.collector import Collector
from agent.containers.container import Container
from agent.engine.protocol import Event
from agent.messages.outbox import Outbox
from agent.messages.payloads import ContainerName, ContainerStatus, Measurements, Usage
from agent.messages.topics import MessageBuilder
from agent.runtime.timestamps import format_time

Reason = Literal["exited", "removed", "excluded", "agent exit", "gone"]


class TrackedContainer:
    """A container as its subscribers know it.

    `level` is None while nothing may be said of it: it is excluded, or it has to give way to another of its name.
    `events`, `busy` and `moves` are the supervisor's: what has happened to the container and was not settled yet, and
    how much of that may make it leave its level. So are `failures`, how often in a row it could not be looked at,
    `due`, whether it will be looked at again for that or because there was no thread, and `repeat`, what is to be
    settled then; `inherited`, whether it was there when the agent came, and `over`, when the run of it began that had
    ended by then: no news, although the engine may tell it once more.
    """

    def __init__(self, container_id: str, name: str, outbox: Outbox, messages: MessageBuilder) -> None:
        self.id = container_id
        self.container: Container | None = None
        self.name = name or container_id[:12]
        self.level: str | None = None
        self.collector: Collector | None = None
        self.last_status: ContainerStatus | None = None
        self.events: deque[Event | None] = deque()
        self.busy = False
        self.failures = 0
        self.retry_scheduled = False
        self.retry_event: Event | None = None
        self.pending_moves = 0
        self.preexisting = False
        self.ended_run_started_at: str | None = ""
        self._outbox = outbox
        self._messages = messages
        self._seq = 0
        self._last_usage: Usage | None = None

    def publish_usage(self, measurements: Measurements) -> None:
        """Put one usage into the outbox. Called by the container's collector only."""
        if self.level is None or self.container is None:
            return
        self._seq += 1  # goes on over a restart, and counts before the outbox can drop: a gap is a dropped usage
        usage: Usage = {"container": self._identity(self.container), "seq": self._seq, **measurements}
        self._last_usage = usage
        self._outbox.add_usage(self._messages.usage(self.level, usage))

    def announce_running(self, container: Container) -> None:
        """Say that it runs."""
        self.container = container
        self._tell(container, "running", None)

    def announce_stopped(self, reason: Reason, container: Container | None = None) -> None:
        """Say that its usage stream has ended; `container` is how, where the engine does not say so itself any more."""
        self.container = container or self.container
        if self.container:
            self._tell(self.container, "stopped", reason)

    def refresh(self) -> None:
        """Say again what was said last, with what is known now."""
        if self.last_status and self.container:
            self._tell(self.container, self.last_status["status"], self.last_status.get("reason"))

    def move(self, level: str | None, vacate: bool) -> None:
        """Go on at another level; `vacate`: nobody else speaks at the old one, so say there that there is no more."""
        told, self.last_status = self.last_status, None
        if told and self.level is not None and vacate:
            self._announce(self.level, {**told, "status": "stopped", "reason": "removed", "time": _now()})
        self.level = level
        if told and self.container:
            self._tell(self.container, told["status"], told.get("reason"))

    def is_known_run(self, container: Container) -> bool:
        """Whether this run of it is no news: something was said of it, or it was over before the agent came."""
        return (
            self.ended_run_started_at if self.last_status is None else self.last_status.get("started_at")
        ) == container.started_at

    @property
    def is_announced_running(self) -> bool:
        """Whether the last that was said is that it runs."""
        return self.last_status is not None and self.last_status["status"] == "running"

    def _tell(self, container: Container, status: Literal["running", "stopped"], reason: Reason | None) -> None:
        payload = self._status(container, status, reason)
        if self.level is not None and (self.last_status is None or _essence(payload) != _essence(self.last_status)):
            self.last_status = payload
            self._announce(self.level, payload)

    def _announce(self, level: str, payload: ContainerStatus) -> None:
        self._outbox.add_status(self._messages.container_status(level, payload))

    def _status(
        self, container: Container, status: Literal["running", "stopped"], reason: Reason | None
    ) -> ContainerStatus:
        known: dict[str, Any] = {
            "reason": reason,
            "state": container.state,
            "started_at": container.started_at,
            # What Docker keeps of the run before says nothing about one that is running now.
            "finished_at": None if container.running else container.finished_at,
            "exit_code": None if container.running else container.exit_code,
            "oom_killed": container.oom_killed,
            "health": container.health,
            "restart_count": container.restart_count,
            "last_usage": self._last_usage,
        }
        payload: ContainerStatus = {
            "status": status,
            "time": _now(),
            "container": self._identity(container),
        }
        payload.update({key: value for key, value in known.items() if value is not None})  # type: ignore[typeddict-item]
        return payload

    def _identity(self, container: Container) -> ContainerName:
        identity: ContainerName = {"id": container.id, "name": self.name, "image": container.image}
        if container.project:
            identity["project"] = container.project
        if container.service:
            identity["service"] = container.service
        return identity


def _now() -> str:
    return format_time(time.time_ns())


def _essence(status: ContainerStatus) -> dict[str, Any]:
    """What makes a status another one: everything but when it was said and the usages that came meanwhile."""
    return {key: value for key, value in status.items() if key not in ("time", "last_usage")}
