"""What is published of one container: its topic level, its status, and its usages with their sequence numbers."""

import time
from typing import Any, Literal, cast

from agent.containers.container import Container
from agent.messages.outbox import Outbox
from agent.messages.payloads import ContainerName, ContainerStatus, Measurements, Usage
from agent.messages.topics import MessageBuilder
from agent.runtime.timestamps import format_time

Reason = Literal["exited", "removed", "excluded", "agent exit", "gone"]
"""Why a container is `stopped`, in the payload's words. `gone`: nobody saw its end (no agent ran, or no engine could
be asked), and its exit code is not known yet."""


class ContainerStatusPublisher:
    """Publishes one container's statuses and usages.

    Only the methods of this class write its fields; others may read them. All methods but `publish_usage` are called
    with the registry's lock held. A status is published only if it differs from the last one.

    Attributes:
        name: the container's name as messages show it: by its label, else without Compose's temporary prefix.
        container: the newest description of the container; None until the engine has given one.
        level: the topic level; None while nothing may be published, because the container is excluded or has to give
            way to another one of its name.
        last_status: what was last published at `level`; None if nothing was.
        trouble: why the container runs without usages; None if it has usages or does not run.
    """

    __slots__ = (
        "_announced_started_at",
        "_last_usage",
        "_messages",
        "_outbox",
        "_seq",
        "container",
        "last_status",
        "level",
        "name",
        "trouble",
    )

    def __init__(self, name: str, outbox: Outbox, messages: MessageBuilder) -> None:
        self.name = name
        self.container: Container | None = None
        self.level: str | None = None
        self.last_status: ContainerStatus | None = None
        self.trouble: str | None = None
        self._outbox = outbox
        self._messages = messages
        # Written by the container's collector, of which there is one at most, and by a worker before it starts.
        self._seq = 0
        self._last_usage: Usage | None = None
        # `started_at` of the run that was announced last, to which `_last_usage` belongs; None if it is not known.
        self._announced_started_at: str | None = None

    def publish_usage(self, measurements: Measurements) -> None:
        """Add one usage to the outbox. Called by the container's collector, without the registry's lock."""
        # Read once: without the registry's lock the level may become None between two reads (`move`, `release_level`),
        # and the topic would be `<base>/<host>/None/usage`.
        level, container = self.level, self.container
        if level is None or container is None:
            return
        # Not reset by a restart of the container, and counted before the outbox can drop: a gap is a dropped usage.
        self._seq += 1
        usage: Usage = {
            **measurements,
            "seq": self._seq,
            "host": self._messages.host,
            "container": self._identity(container),
        }
        self._last_usage = usage
        self._outbox.add_usage(self._messages.usage(level, usage))

    def describe(self, container: Container, name: str) -> None:
        """Record the newest description of the container and its name in messages; publish nothing."""
        self.container, self.name = container, name

    def announce_running(self, container: Container) -> None:
        """Publish that the container runs. Called before its collector starts."""
        self.container = container
        if container.started_at is None or container.started_at != self._announced_started_at:
            self._announced_started_at, self._last_usage = container.started_at, None
        self._publish_if_changed(container, "running", None)

    def announce_stopped(self, reason: Reason, container: Container | None = None) -> None:
        """Publish that there are no more usages of the container.

        Args:
            reason: why.
            container: the container as it ended; None for the newest description.
        """
        self.container, self.trouble = container or self.container, None
        if self.container:
            self._publish_if_changed(self.container, "stopped", reason)

    def announce_unseen_end(self) -> None:
        """Publish an end of which no event was received: `exited` if the exit code is known, else `gone`."""
        self.announce_stopped(_unseen_reason(self.container))

    def set_trouble(self, trouble: str | None) -> None:
        """Record why the container runs without usages; None if it has usages. `refresh` publishes that."""
        self.trouble = trouble

    def refresh(self) -> None:
        """Publish the last status again with the newest description and trouble, if they change it."""
        if self.last_status and self.container:
            reason = self.last_status.get("reason")
            reason = _unseen_reason(self.container) if reason == "gone" else reason
            self._publish_if_changed(self.container, self.last_status["status"], reason)

    def move(self, level: str | None, old_becomes_free: bool) -> None:
        """Continue at another topic level.

        Args:
            level: the new level, or None to publish nothing from now on.
            old_becomes_free: no other container takes over the old level. Then `removed` is published there.
        """
        status, self.last_status = self.last_status, None
        if status and self.level is not None and old_becomes_free:
            self._publish(self.level, as_stopped(status, "removed"))
        self.level = level
        if status and self.container:
            self._publish_if_changed(self.container, status["status"], status.get("reason"))

    def release_level(self) -> None:
        """Give up the topic level and publish nothing there: the caller has published what was needed."""
        self.level, self.last_status = None, None

    def adopt(self, status: ContainerStatus) -> None:
        """Treat a status that an earlier run of the agent left retained at this level as the last one published."""
        self.last_status = status

    @property
    def is_published(self) -> bool:
        """Whether the container has a status on the broker that describes it."""
        return self.level is not None and self.last_status is not None and self.container is not None

    @property
    def last_usage(self) -> Usage | None:
        """The last usage of the run that was announced last; None if it has none yet."""
        return self._last_usage

    @property
    def is_announced_running(self) -> bool:
        """Whether the last published status says that the container runs."""
        return self.last_status is not None and self.last_status["status"] == "running"

    def _publish_if_changed(
        self, container: Container, status: Literal["running", "stopped"], reason: Reason | None
    ) -> None:
        payload = self._payload(container, status, reason)
        if self.level is not None and (self.last_status is None or _content(payload) != _content(self.last_status)):
            self.last_status = payload
            self._publish(self.level, payload)

    def _publish(self, level: str, payload: ContainerStatus) -> None:
        self._outbox.add_status(self._messages.container_status(level, payload))

    def _payload(
        self, container: Container, status: Literal["running", "stopped"], reason: Reason | None
    ) -> ContainerStatus:
        is_same_run = self._announced_started_at in (None, container.started_at)
        fields = {
            "status": status,
            "reason": reason,
            "state": container.state,
            "started_at": container.started_at,
            # Docker keeps these two of the previous run while a container runs; they do not describe this run.
            "finished_at": None if container.running else container.finished_at,
            "exit_code": None if container.running else container.exit_code,
            "oom_killed": container.oom_killed,
            "health": container.health,
            "restart_count": container.restart_count,
            "trouble": self.trouble,
            "time": _now(),
            "container": self._identity(container),
            "last_usage": self._last_usage if is_same_run else None,
        }
        return cast(ContainerStatus, {key: value for key, value in fields.items() if value is not None})

    def _identity(self, container: Container) -> ContainerName:
        identity = cast(ContainerName, {"name": self.name, "image": container.image})
        if container.project:
            identity["project"] = container.project
        if container.service:
            identity["service"] = container.service
        identity["id"] = container.id  # last: 64 digits that few people read
        return identity


def as_stopped(status: ContainerStatus, reason: Reason) -> ContainerStatus:
    """Return a copy of a published status, changed to `stopped` for this reason, as of now."""
    replaced = {"status": "stopped", "reason": reason, "time": _now()}
    kept = {key: value for key, value in status.items() if key not in (*replaced, "trouble")}
    return cast(ContainerStatus, {**replaced, **kept})


def _unseen_reason(container: Container | None) -> Reason:
    """Return the reason for an end of which no event was received: `exited` if the exit code is known, else `gone`."""
    return "gone" if container is None or container.exit_code is None else "exited"


def _now() -> str:
    return format_time(time.time_ns())


def _content(status: ContainerStatus) -> dict[str, Any]:
    """Return what makes one status differ from another: everything but its time and its last usage."""
    return {key: value for key, value in status.items() if key not in ("time", "last_usage")}
