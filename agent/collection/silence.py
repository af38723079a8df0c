"""Noticing a container that runs without usages. One failed reading is normal; more of them must be reported."""

import threading

FAILURES_BEFORE_REPORT = 2  # in a row: a single one happens whenever a container ends, or the engine is restarted


class SilenceDetector:
    """Counts the failed readings of one container since its last usage, or since the engine came back.

    Thread-safe; nothing is called under its lock.

    A container is silent if its readings failed FAILURES_BEFORE_REPORT times in a row and the engine said afterwards
    that it runs. The cause at that moment is kept until a usage comes: later failures may be mere consequences.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._cause = ""  # of the newest failure
        self._reported_cause: str | None = None  # the cause, once the container counts as silent

    def note_failure(self, cause: str) -> bool:
        """Note a failed reading. Return whether to ask the engine if the container runs."""
        with self._lock:
            self._failures += 1
            self._cause = cause
            return self._failures >= FAILURES_BEFORE_REPORT and self._reported_cause is None

    def note_usage(self) -> bool:
        """Note a usage. Return whether the container was silent until now."""
        with self._lock:
            was_silent = self._reported_cause is not None
            self._failures, self._reported_cause = 0, None
            return was_silent

    def note_engine_back(self) -> None:
        """Forget the failures: the engine was away, and they say nothing about the container."""
        with self._lock:
            self._failures = 0

    def confirm_running(self) -> tuple[str | None, bool]:
        """Take into account that the engine has just said that the container runs.

        Returns:
            The cause if the container is silent, else None; and whether it counts as silent only since this call.
        """
        with self._lock:
            is_new = self._reported_cause is None and self._failures >= FAILURES_BEFORE_REPORT
            if is_new:
                self._reported_cause = self._cause
            return self._reported_cause, is_new
