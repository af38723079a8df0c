"""Waking a thread that sleeps in poll()."""

import os


class Wake:
    """Something to poll() for beside a socket; `set` may be called from any thread and never blocks."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __del__(self) -> None:
        # Not closed before nobody can call set() any more: the number may be another file's by then.
        os.close(self._fd)

    def fileno(self) -> int:
        """Return the file descriptor, readable while set."""
        return self._fd

    def set(self) -> None:
        """Wake the thread, now or when it sleeps next."""
        os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Sleep again. To be called before looking at what one may have been woken for."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return
