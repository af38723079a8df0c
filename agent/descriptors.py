"""File descriptors: as many as the system allows, and some kept back for everything but readings."""

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agent.docker_api.answers import EngineError

RESERVE = 64  # for the broker, the events, questions about containers and idle connections


class NoDescriptor(EngineError):
    """There are more readings under way than descriptors to read them from."""


def raise_limit() -> None:
    """Use what the system allows: the soft limit is low for the sake of programs that call select()."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Descriptors:
    """Those that readings may use: beyond them a container lacks its usages, and not the agent its events."""

    def __init__(self) -> None:
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if self.limit == resource.RLIM_INFINITY:
            self.limit = sys.maxsize
        self._free = self.limit - min(RESERVE, self.limit // 2)
        self._lock = threading.Lock()

    def take(self, spare: int = 0) -> bool:
        """Take one; False if no more than `spare` are free."""
        with self._lock:
            if self._free <= spare:
                return False
            self._free -= 1
            return True

    def give(self) -> None:
        """Give one back."""
        with self._lock:
            self._free += 1

    @contextmanager
    def one(self) -> Iterator[None]:
        """Have one while the block runs. Raises NoDescriptor."""
        if not self.take():
            raise NoDescriptor(
                f"{self.limit} descriptors are too few for so many containers, and some have no usages: "
                "raise the limit (LimitNOFILE= in the unit, ulimit -n in a shell)"
            )
        try:
            yield
        finally:
            self.give()
