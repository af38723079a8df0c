"""Waking a thread that sleeps in poll()."""

import os
from contextlib import suppress


class WakeupEvent:
    """Something to poll() for beside a socket; `set` may be called from any thread and never blocks."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._set = False

    def __del__(self) -> None:
        # Not closed before nobody can call set() any more: the number may be another file's by then.
        os.close(self._fd)

    def fileno(self) -> int:
        """Return the file descriptor, readable while set."""
        return self._fd

    def set(self) -> None:
        """Wake the thread, now or when it sleeps next."""
        if not self._set:
            self._set = True
            os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Sleep again. To be called before looking at what one may have been woken for."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        # Last: whoever still finds it set has put before that what is looked at next.
        self._set = False
