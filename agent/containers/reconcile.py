"""Settles what an earlier run of the agent left retained on the broker. The broker is the agent's memory.

A retained status may be of a container that ended, was removed, renamed or excluded while no agent was looking. What
is said of it now follows the engine: nothing is guessed.
"""

import logging
import threading
import time
from typing import Literal

import msgspec
import orjson

from agent.containers.registry import ContainerRegistry
from agent.containers.retention import StatusRetention
from agent.containers.tracked import TrackedContainer
from agent.messages.payloads import ContainerStatus
from agent.messages.topics import MessageBuilder
from agent.runtime.timestamps import format_time, parse_time

log = logging.getLogger(__name__)


class RetainedStatusReconciler:
    """Retained statuses that were read from the broker and not looked at yet. Thread-safe."""

    def __init__(self, lives: ContainerRegistry, retention: StatusRetention, messages: MessageBuilder) -> None:
        self._registry = lives
        self._retention = retention
        self._messages = messages
        self._lock = threading.Lock()
        self._retained: dict[str, bytes] = {}

    def add(self, retained: dict[str, bytes]) -> None:
        """Take in what the broker had retained, by topic. Called by the publisher's thread: it only stores."""
        with self._lock:
            self._retained.update(retained)

    def reconcile(self) -> None:
        """Settle them all. The lives must be complete: a container that is not among them does not exist."""
        with self._lock:
            retained, self._retained = self._retained, {}
        for topic, payload in retained.items():
            level = self._messages.level_of(topic)
            if level is None or not payload:
                continue
            try:
                past = msgspec.convert(orjson.loads(payload), ContainerStatus)
                ago = max((time.time_ns() - parse_time(past["time"])) / 1e9, 0.0)  # the clock may have been set back
            except ValueError:  # orjson's and msgspec's errors are ValueErrors
                log.warning("%s holds a retained message that is no status; it is left alone", topic)
                continue
            with self._registry.lock:
                self._settle(level, past, ago)

    def _settle(self, level: str, past: ContainerStatus, ago: float) -> None:
        owner = self._registry.owner(level)
        life = self._registry.get(past["container"]["id"])
        if owner is not None and owner.last_status:
            return  # what the owner of the level says now has replaced it
        if life is None:
            if past.get("reason") != "removed":
                self._say(level, past, "removed")
                ago = 0.0
            if owner is None:
                self._retention.on_removed(level, time.monotonic(), ago)
        elif life.level is None:
            if past.get("reason") != "excluded":
                self._say(level, past, "excluded")
        elif life.level != level:
            self._say(level, past, "removed")
            self._retention.on_vacated(level, time.monotonic())
        else:
            _went_while_away(life, past)

    def _say(self, level: str, past: ContainerStatus, reason: Literal["removed", "excluded"]) -> None:
        now: ContainerStatus = {**past, "status": "stopped", "reason": reason, "time": format_time(time.time_ns())}
        self._registry.publish_status(level, now)


def _went_while_away(life: TrackedContainer, past: ContainerStatus) -> None:
    """The container is still there, but does not run: say so, if that was not said before."""
    life.last_status = past
    if past["status"] == "running" or past.get("reason") not in ("exited", "removed"):
        life.announce_stopped("gone" if life.container is None or life.container.exit_code is None else "exited")
