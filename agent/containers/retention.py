"""Clears the retained statuses of containers that were removed long enough ago."""

import threading


class StatusRetention:
    """Levels that are to be cleared, and when. Thread-safe.

    `after` is in seconds, 0 keeps what was removed for ever. Times are of the monotonic clock and passed in.
    """

    def __init__(self, after: float) -> None:
        self._after = after
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}

    def on_removed(self, level: str, now: float, ago: float = 0.0) -> None:
        """The container at this level was removed `ago` seconds ago."""
        if self._after:
            with self._lock:
                self._due[level] = now + max(self._after - ago, 0)

    def on_vacated(self, level: str, now: float) -> None:
        """The container has gone on at another level: this one is cleared once its last status was out for a moment."""
        with self._lock:
            self._due[level] = now + 1

    def keep(self, level: str) -> None:
        """A container lives at this level again."""
        with self._lock:
            self._due.pop(level, None)

    def take_expired(self, now: float) -> list[str]:
        """Return the levels that are due, each once."""
        with self._lock:
            due = [level for level, at in self._due.items() if at <= now]
            for level in due:
                del self._due[level]
            return due
