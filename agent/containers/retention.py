"""When the retained statuses of removed containers are cleared.

The registry clears them (`clear_expired`). After a restart of the agent `reconcile.py` notes the old ones again.
"""

import threading

VACATED_SECONDS = 1.0  # a renamed container's `removed` stays at the old level for so long, to reach subscribers


class StatusRetention:
    """Topic levels whose retained status is to be cleared, and when. Thread-safe.

    It reads no clock: callers pass the present moment as `now`, of the monotonic clock.

    Args:
        after: seconds from a container's removal until its status is cleared; 0 keeps it for ever.
    """

    def __init__(self, after: float) -> None:
        self._lock = threading.Lock()  # guards what follows
        self._after = after
        # Monotonic moments by level. A level is in one of them, or in none.
        self._removed: dict[str, float] = {}  # when its container was removed
        self._vacated: dict[str, float] = {}  # when it is to be cleared, whatever `after` is

    def set_after(self, after: float) -> None:
        """Change the seconds, also for containers that were removed before; 0 keeps their statuses from now on."""
        with self._lock:
            self._after = after

    def on_removed(self, level: str, now: float, ago: float = 0.0) -> None:
        """Have this level cleared `after` seconds after the removal of its container, which was `ago` seconds ago."""
        with self._lock:
            self._vacated.pop(level, None)
            self._removed[level] = now - ago

    def on_vacated(self, level: str, now: float) -> None:
        """Have this level cleared after VACATED_SECONDS: its container is published at another level now."""
        with self._lock:
            self._removed.pop(level, None)
            self._vacated[level] = now + VACATED_SECONDS

    def release(self, level: str) -> None:
        """Forget this level: a container is published there again, or its status was cleared."""
        with self._lock:
            self._removed.pop(level, None)
            self._vacated.pop(level, None)

    def is_leftover(self, level: str) -> bool:
        """Return whether this level has the status of a container that is gone, to be cleared or kept for ever."""
        with self._lock:
            return level in self._removed or level in self._vacated

    def expired(self, now: float) -> list[str]:
        """Return the levels whose status is to be cleared now. They stay noted until `release` is called."""
        with self._lock:
            removed = self._removed.items() if self._after else ()
            return [
                *(level for level, expiry in self._vacated.items() if expiry <= now),
                *(level for level, moment in removed if moment + self._after <= now),
            ]
