"""Deadlines of the agent's threads: before a thread does what may block, it says how long that takes at most."""

import threading
import time

MARGIN_SECONDS = 10.0  # a thread may be so much later on a loaded machine before it counts as hanging


class Watchdog:
    """Knows which threads are overdue. Thread-safe; while it holds its lock it calls nothing.

    While a thread is overdue, systemd's watchdog is not fed (see `app.monitor`), and systemd restarts the agent. A
    restart is better than an agent that publishes nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[str, float] = {}  # monotonic, by thread

    def expect_within(self, name: str, seconds: float) -> None:
        """Expect the thread `name` to call again within `seconds`; this replaces its earlier deadline."""
        deadline = time.monotonic() + seconds
        with self._lock:
            self._deadlines[name] = deadline

    def clear(self, name: str) -> None:
        """Expect nothing more of the thread `name`, because it has ended or waits for nothing."""
        with self._lock:
            self._deadlines.pop(name, None)

    def overdue(self) -> list[str]:
        """Return the names of the threads whose deadline has passed."""
        now = time.monotonic()
        with self._lock:
            return sorted(name for name, deadline in self._deadlines.items() if deadline < now)
