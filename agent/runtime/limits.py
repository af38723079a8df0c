"""Limits on threads and file descriptors: errors that name the limit to raise, and a budget for readings."""

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESERVED_DESCRIPTORS = 64  # kept from readings: for the broker, the events, inspections and idle connections


class LimitError(Exception):
    """The system allows no more of something. The message names the limit to raise."""


class ThreadLimitError(LimitError):
    """The system allows no more threads."""


class DescriptorLimitError(LimitError):
    """All file descriptors that readings may use are in use."""


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        ThreadLimitError: the system refuses; the thread object cannot be used again.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise ThreadLimitError(
            "the system allows no more threads, and some containers have no usages: "
            "raise the limit (TasksMax= in the unit, --pids-limit of the agent's container)"
        ) from error


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard limit. Its default is low for the sake of select()."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class DescriptorBudget:
    """The file descriptors that readings may use. Thread-safe; its lock is held for no other call.

    When all are in use, further containers have no usages. The agent still receives events and publishes. Streams may
    take them all; the kernel's files leave half of them free (see agent/kernel/files.py).

    Attributes:
        limit: file descriptors that the process may open in all.
    """

    def __init__(self) -> None:
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if self.limit == resource.RLIM_INFINITY:
            self.limit = sys.maxsize
        self._free = self.limit - min(RESERVED_DESCRIPTORS, self.limit // 2)
        self._lock = threading.Lock()

    def acquire(self, spare: int = 0) -> bool:
        """Take one descriptor. Return False, and take none, if not more than `spare` are free."""
        with self._lock:
            if self._free <= spare:
                return False
            self._free -= 1
            return True

    def release(self) -> None:
        """Give one descriptor back."""
        with self._lock:
            self._free += 1

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Hold one descriptor while the block runs.

        Raises:
            DescriptorLimitError: none is free.
        """
        if not self.acquire():
            raise DescriptorLimitError(
                f"{self.limit} descriptors are too few for so many containers, and some have no usages: "
                "raise the limit (LimitNOFILE= in the unit, ulimit -n in a shell)"
            )
        try:
            yield
        finally:
            self.release()
