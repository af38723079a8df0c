"""TODO."""

import threading
import time

MARGIN_SECONDS = 10.0  # seconds a thread may be late on a loaded machine before it counts as hanging


class Watchdog:
    """The promises of the agent's threads to show up again in time.

    Before a thread does what may block it promises how long that can take at most. A promise that is overdue is a
    thread that hangs, and the watchdog is no longer fed: a restart is better than a silent agent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}

    def expect_within(self, name: str, within: float) -> None:
        """`name` will show up again within so many seconds."""
        due = time.monotonic() + within
        with self._lock:
            self._due[name] = due

    def clear(self, name: str) -> None:
        """`name` has ended as it should."""
        with self._lock:
            self._due.pop(name, None)

    def overdue(self) -> list[str]:
        """Who has not shown up in time."""
        now = time.monotonic()
        with self._lock:
            return sorted(name for name, due in self._due.items() if due < now)
