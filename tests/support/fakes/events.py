"""The events of the fake engine: kept, and sent to every open stream."""

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

from support.daemons.processes import PATIENCE

MAX_KEPT_EVENTS = 256  # as many as an engine keeps


class EventFeed:
    """All open `GET /events` streams."""

    def __init__(self) -> None:
        self._history: list[dict[str, Any]] = []
        self._listeners: list[queue.SimpleQueue[bytes | None]] = []
        self._changes = threading.Condition()

    def push(self, event: dict[str, Any] | bytes) -> None:
        """Send an event, or bytes that are no event, to all open streams."""
        with self._changes:
            if not isinstance(event, bytes):
                self._history = [*self._history, event][-MAX_KEPT_EVENTS:]
            for listener in self._listeners:
                listener.put(event if isinstance(event, bytes) else _line(event))

    def end(self) -> None:
        """End all open streams cleanly, as an engine that stops does."""
        with self._changes:
            for listener in self._listeners:
                listener.put(None)

    def forget(self) -> None:
        """Forget past events, as an engine does when it restarts."""
        with self._changes:
            self._history.clear()

    @property
    def listeners(self) -> int:
        """The number of open streams."""
        return len(self._listeners)

    def wait_for_listeners(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Wait until at least `count` streams are open."""
        with self._changes:
            assert self._changes.wait_for(lambda: len(self._listeners) >= count, timeout), "no stream of events is open"

    def stream(self, since: str | None) -> Iterator[bytes]:
        """Yield the kept events since `since`, if given, and all events from now on."""
        listener: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._changes:
            for event in self._history if since else []:
                if event["timeNano"] >= _nanoseconds(since or "0"):
                    listener.put(_line(event))
            self._listeners.append(listener)
            self._changes.notify_all()
        try:
            while True:
                yield b""  # sends the headers at once, and lets the server check whether the client is still there
                with contextlib.suppress(queue.Empty):
                    if (raw := listener.get(timeout=0.1)) is None:
                        return
                    yield raw
        finally:
            with self._changes:
                self._listeners.remove(listener)


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _nanoseconds(since: str) -> int:
    seconds, _, rest = since.partition(".")
    return int(seconds) * 10**9 + int(rest.ljust(9, "0")[:9])
