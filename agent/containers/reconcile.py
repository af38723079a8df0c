"""Retained statuses of an earlier run of the agent. The broker is the agent's memory: there is no state file.

A retained status may be of a container that ended, or was removed, renamed or excluded while the agent did not run.
Each is replaced by what the engine says of that container now; nothing is guessed.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

import msgspec
import orjson

from agent.containers.registry import ContainerRegistry
from agent.containers.retention import StatusRetention
from agent.containers.status import as_stopped
from agent.containers.tracked import TrackedContainer
from agent.messages.payloads import ContainerStatus, Usage
from agent.messages.topics import MessageBuilder
from agent.runtime.timestamps import parse_time

log = logging.getLogger(__name__)


class RetainedStatusReconciler:
    """Retained statuses that were read from the broker and not compared with the engine yet. Thread-safe."""

    def __init__(self, registry: ContainerRegistry, retention: StatusRetention, messages: MessageBuilder) -> None:
        self._registry = registry
        self._retention = retention
        self._messages = messages
        self._lock = threading.Lock()
        self._retained: dict[str, bytes] = {}  # by topic; guarded by `_lock`

    def add(self, retained: dict[str, bytes]) -> None:
        """Store what the broker had retained, by topic. Called by the publisher's thread."""
        with self._lock:
            self._retained.update(retained)

    def reconcile(self, ready: Callable[[], bool]) -> bool:
        """Publish what became of the containers whose statuses were added.

        Args:
            ready: returns whether the agent may publish, and the registry is complete. Complete: a container that is
                not in the registry does not exist. Called before each status, with the registry's lock held. Once it
                returns False, the remaining statuses are kept for the next call.

        Returns:
            Whether no status is left.
        """
        with self._lock:
            retained, self._retained = self._retained, {}
        complete = True
        for topic, payload in retained.items():
            level = self._messages.level_of(topic)
            status = _parse(topic, payload) if level is not None and payload else None
            if level is None or status is None:
                continue
            with self._registry.lock:
                done = ready() and self._reconcile(level, status)
            if not done:
                complete = False
                with self._lock:
                    self._retained.setdefault(topic, payload)
        return complete

    def _reconcile(self, level: str, status: ContainerStatus) -> bool:
        """Replace one retained status. Return False if the engine has not described its container yet."""
        owner = self._registry.owner(level)
        tracked = self._registry.get(status["container"]["id"])
        if owner is not None and owner.status.last_status:
            return True  # the level's present owner has replaced it
        if tracked is None:
            self._reconcile_removed(level, status, has_owner=owner is not None)
        elif tracked.status.container is None:
            return False
        elif self._registry.is_excluded(tracked):
            if status.get("reason") != "excluded":
                self._publish(level, status, "excluded")
        elif tracked.status.level != level:
            self._publish(level, status, "removed")
            self._retention.on_vacated(level, time.monotonic())
        else:  # it does not run: a running container has published at its level already, see above
            _reconcile_ended(tracked, status)
        return True

    def _reconcile_removed(self, level: str, status: ContainerStatus, has_owner: bool) -> None:
        # Not negative, though the clock may have been set back since.
        removed_ago = max((time.time_ns() - parse_time(status["time"])) / 1e9, 0.0)
        if status.get("reason") != "removed":
            self._publish(level, status, "removed")
            removed_ago = 0.0
        if not has_owner:
            self._retention.on_removed(level, time.monotonic(), removed_ago)

    def _publish(self, level: str, status: ContainerStatus, reason: Literal["removed", "excluded"]) -> None:
        self._registry.publish_status(level, as_stopped(status, reason))


def _parse(topic: str, payload: bytes) -> ContainerStatus | None:
    try:
        document = orjson.loads(payload)
        if isinstance(document, dict) and not _is_usage(document.get("last_usage")):
            document.pop("last_usage", None)  # by another version of the agent, whose usages had other fields
        status = msgspec.convert(document, ContainerStatus)
        parse_time(status["time"])
    except ValueError:  # orjson's and msgspec's errors are ValueErrors
        log.warning("%s holds a retained message that is no status; it is left alone", topic)
        return None
    return status


def _is_usage(document: object) -> bool:
    try:
        msgspec.convert(document, Usage)
    except msgspec.ValidationError:
        return False
    return True


def _reconcile_ended(tracked: TrackedContainer, status: ContainerStatus) -> None:
    """Adopt the retained status of a container that still exists at its level but does not run.

    Publish `stopped` unless the status already says `exited` or `removed`.
    """
    tracked.status.adopt(status)
    if status["status"] == "running" or status.get("reason") not in ("exited", "removed"):
        tracked.status.announce_unseen_end()
