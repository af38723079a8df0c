"""Noticing a container that runs without usages. One failed reading is normal; a silent container must be told."""

import threading

FAILURES_TO_TELL = 2  # in a row: a single one happens whenever a container ends, or the engine is restarted


class SilenceDetector:
    """Counts the failed readings of one container since the last usage. Thread-safe; nothing is called under its lock.

    A container is silent if its readings failed FAILURES_TO_TELL times in a row and the engine said afterwards that it
    runs. The first cause is kept until a usage comes, because the next ones may only follow from it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._cause = ""  # of the newest failure
        self._told: str | None = None  # the cause, once the container counts as silent

    def note_failure(self, cause: str) -> bool:
        """Note a failed reading. Return whether the engine has to be asked if the container runs."""
        with self._lock:
            self._failures += 1
            self._cause = cause
            return self._failures >= FAILURES_TO_TELL and self._told is None

    def note_usage(self) -> bool:
        """Note a usage. Return whether the container was silent until now."""
        with self._lock:
            was_silent = self._told is not None
            self._failures, self._told = 0, None
            return was_silent

    def note_engine_back(self) -> None:
        """Forget the failures: they were the engine's, which was away."""
        with self._lock:
            self._failures = 0

    def note_running(self) -> tuple[str | None, bool]:
        """Note that the engine has just said that the container runs.

        Returns:
            The cause if the container is silent, else None; and whether it is found silent only now.
        """
        with self._lock:
            is_new = self._told is None and self._failures >= FAILURES_TO_TELL
            if is_new:
                self._told = self._cause
            return self._told, is_new
