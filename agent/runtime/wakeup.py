"""Waking a thread that waits in poll(2), with an eventfd(2)."""

import os
from contextlib import suppress


class WakeupEvent:
    """An event whose descriptor is readable while it is set. `set` may be called from any thread and never blocks."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._set = False  # only saves system calls; the descriptor decides whether the thread wakes

    def __del__(self) -> None:
        # Closed only when no thread can call set() any more: afterwards the number may be that of another file.
        os.close(self._fd)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._fd

    def set(self) -> None:
        """Wake the thread, now or as soon as it waits again."""
        if not self._set:
            self._set = True
            os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Let the thread wait again. Call this before you look at what the thread may have been woken for."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        # Last: a thread whose set() still finds the flag set writes nothing. What it has done before is seen all the
        # same, because the woken thread looks for it only after this.
        self._set = False
