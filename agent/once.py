"""What concerns all containers alike is said once, whichever of them it is noticed at."""

import logging
import threading

log = logging.getLogger(__name__)


class Once:
    """Warns of each thing once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def warn(self, text: str) -> None:
        """Say it, if it was not said before."""
        with self._lock:
            news = text not in self._said
            self._said.add(text)
        if news:
            log.warning("%s", text)
