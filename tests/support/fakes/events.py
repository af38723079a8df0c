"""The fake engine's events: remembered, and sent to everybody who listens."""

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

from support.daemons.processes import PATIENCE

HISTORY = 256  # as many events as an engine remembers


class EventFeed:
    """All open `GET /events` and what they are told."""

    def __init__(self) -> None:
        self._history: list[dict[str, Any]] = []
        self._listeners: list[queue.SimpleQueue[bytes | None]] = []
        self._changes = threading.Condition()

    def push(self, event: dict[str, Any] | bytes) -> None:
        """Send an event, or bytes that are none, to all who listen."""
        with self._changes:
            if not isinstance(event, bytes):
                self._history = [*self._history, event][-HISTORY:]
            for listener in self._listeners:
                listener.put(event if isinstance(event, bytes) else _line(event))

    def end(self) -> None:
        """End all open streams cleanly, as an engine that stops does."""
        with self._changes:
            for listener in self._listeners:
                listener.put(None)

    def forget(self) -> None:
        """Forget all past events, as an engine that restarted has."""
        with self._changes:
            self._history.clear()

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    def wait_for_listeners(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Wait until at least so many streams are open."""
        with self._changes:
            assert self._changes.wait_for(lambda: len(self._listeners) >= count, timeout), "nobody asks for events"

    def stream(self, since: str | None) -> Iterator[bytes]:
        """Send what happened since then, if that is asked for, and what happens from now on."""
        listener: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._changes:
            for event in self._history if since else []:
                if event["timeNano"] >= _nanoseconds(since or "0"):
                    listener.put(_line(event))
            self._listeners.append(listener)
            self._changes.notify_all()
        try:
            while True:
                yield b""  # nothing; but headers leave at once, and the server looks whether the client is still there
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
