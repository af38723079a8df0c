"""When the retained statuses of removed containers are cleared."""

import threading

VACATED_SECONDS = 1.0  # for which the `removed` at a level left by a rename stays, so that subscribers can receive it


class StatusRetention:
    """Topic levels whose retained status is to be cleared, and when. Thread-safe.

    Args:
        after: seconds from a container's removal until its status is cleared; 0 keeps it for ever. All moments are of
            the monotonic clock, and passed in.
    """

    def __init__(self, after: float) -> None:
        self._after = after
        self._lock = threading.Lock()
        self._expiry: dict[str, float] = {}  # monotonic moments by level; guarded by `_lock`

    def on_removed(self, level: str, now: float, ago: float = 0.0) -> None:
        """Clear this level in time: its container was removed `ago` seconds before `now`."""
        if self._after:
            with self._lock:
                self._expiry[level] = now + max(self._after - ago, 0)

    def on_vacated(self, level: str, now: float) -> None:
        """Clear this level soon: its container is published at another level now."""
        with self._lock:
            self._expiry[level] = now + VACATED_SECONDS

    def keep(self, level: str) -> None:
        """Do not clear this level: a container is published there again."""
        with self._lock:
            self._expiry.pop(level, None)

    def take_expired(self, now: float) -> list[str]:
        """Return the levels that have expired, each once."""
        with self._lock:
            expired = [level for level, expiry in self._expiry.items() if expiry <= now]
            for level in expired:
                del self._expiry[level]
            return expired
