"""The rounds: one thread that does, when it is due, what is done for many containers and need not be waited for.

A thread for each of them would be a hundred wake-ups where one is enough, and its stack would be memory for months.
"""

import logging
import threading
import time
from collections.abc import Callable

from agent.runtime.limits import start_thread
from agent.runtime.watchdog import MARGIN_SECONDS, Watchdog

log = logging.getLogger(__name__)

Turn = Callable[[], None]
"""Does what is due, without waiting."""

NAME = "rounds"  # of the thread


class Rounds:
    """Takes each turn once, at its time; those that are due together in one go. From any thread.

    There is a thread while there are turns.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._changed = threading.Condition()
        self._dues: dict[Turn, float] = {}
        self._running = False

    def add(self, turn: Turn, due: float) -> None:
        """Take this turn at the monotonic moment `due`; it may add itself again. Raises ThreadLimitError."""
        with self._changed:
            if not self._running:
                start_thread(threading.Thread(target=self._run, name=NAME, daemon=True))
                self._running = True
            self._dues[turn] = due
            self._changed.notify()

    def remove(self, turn: Turn) -> None:
        """Do not take this turn, unless it has begun already."""
        with self._changed:
            self._dues.pop(turn, None)
            self._changed.notify()

    def _run(self) -> None:
        while turns := self._next():
            for turn in turns:
                try:
                    turn()
                except Exception:  # one container's defect must not be that of all others
                    log.exception("a collector ended by a defect of the agent")

    def _next(self) -> list[Turn]:
        """Wait for turns that are due, and return them; none when there is nothing to wait for any more."""
        with self._changed:
            while self._dues:
                now = time.monotonic()
                early = max(0.0, min(self._dues.values()) - now)
                self._watchdog.expect_within(NAME, early + MARGIN_SECONDS)
                if not early:
                    turns = [turn for turn, due in self._dues.items() if due <= now]
                    for turn in turns:
                        del self._dues[turn]
                    return turns
                self._changed.wait(early)
            self._running = False
            self._watchdog.clear(NAME)
            return []
