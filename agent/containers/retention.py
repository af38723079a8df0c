"""When the retained statuses of removed containers are cleared."""

import threading
from math import inf

VACATED_SECONDS = 1.0  # for which a renamed container's `removed` stays at the old level, to reach subscribers


class StatusRetention:
    """Topic levels whose retained status is to be cleared, and when. Thread-safe.

    It reads no clock: callers pass the present moment as `now`, of the monotonic clock.

    Args:
        after: seconds from a container's removal until its status is cleared; 0 keeps it for ever.
    """

    def __init__(self, after: float) -> None:
        self._after = after
        self._lock = threading.Lock()
        self._expiry: dict[str, float] = {}  # monotonic moments by level; guarded by `_lock`

    def on_removed(self, level: str, now: float, ago: float = 0.0) -> None:
        """Have this level cleared in `after` seconds, less the `ago` seconds since its container was removed."""
        with self._lock:
            self._expiry[level] = now + max(self._after - ago, 0) if self._after else inf

    def on_vacated(self, level: str, now: float) -> None:
        """Have this level cleared after VACATED_SECONDS: its container is published at another level now."""
        with self._lock:
            self._expiry[level] = now + VACATED_SECONDS

    def release(self, level: str) -> None:
        """Do not hold this level any more: a container is published there again, or its status was cleared."""
        with self._lock:
            self._expiry.pop(level, None)

    def holds(self, level: str) -> bool:
        """Return whether this level has the status of a container that is gone, to be cleared or kept for ever."""
        with self._lock:
            return level in self._expiry

    def expired(self, now: float) -> list[str]:
        """Return the levels that have expired. They are held until `release` is called."""
        with self._lock:
            return [level for level, expiry in self._expiry.items() if expiry <= now and expiry != inf]
