"""Ending one blocking operation from another thread.

A thread that waits, sleeps or reads from a socket is given a `CancelToken`. Another thread calls `set()` to end it: a
sleep in `wait` returns at once, and what runs inside `interrupting(call)` is ended by `call`. No thread has to wake up
regularly to look at a flag.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager


class CancelledError(Exception):
    """The operation was cancelled. This is not a failure."""


class CancelToken:
    """Cancels the one blocking operation that it was made for. Every method may be called from any thread.

    `wake()` cuts a wait short without cancelling anything: what the operation waits for may be available now. A
    wake-up is kept until the next `wait` takes it or `clear_wake` discards it. So a wake-up that arrives while an
    attempt is still failing is not lost between the failure and the wait. A new attempt uses the latest state anyway,
    so it first discards an older wake-up (see `retry.retrying`).
    """

    def __init__(self) -> None:
        # Reentrant, because an interrupting call, and a signal handler, may call methods on the same thread.
        self._changed = threading.Condition(threading.RLock())  # guards all that follows
        self._set = False
        self._woken = False
        self._calls: dict[object, Callable[[], object]] = {}

    def set(self) -> None:
        """Cancel, for good. Every call registered now has run when this returns. A second time does nothing."""
        with self._changed:
            self._set = True
            self._changed.notify_all()
            with ExitStack() as stack:  # a call that raises must not keep the others from running
                while self._calls:
                    stack.callback(self._calls.popitem()[1])

    def is_set(self) -> bool:
        """Return whether `set` was called."""
        return self._set

    def wake(self) -> None:
        """Cut the present wait short, or else the next one."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def clear_wake(self) -> bool:
        """Discard a wake-up that no wait has taken. Return whether there was one."""
        with self._changed:
            woken, self._woken = self._woken, False
            return woken

    def wait(self, timeout: float) -> bool:
        """Sleep for at most `timeout` seconds. Return True if cancelled, False after the time or a wake-up."""
        with self._changed:
            self._changed.wait_for(lambda: self._set or self._woken, timeout)
            self._woken = False
            return self._set

    @contextmanager
    def interrupting(self, call: Callable[[], object]) -> Iterator[None]:
        """Have `set()` run `call` while the block runs, once, on the thread that calls `set()`.

        If the token is set already, `call` runs at once, before the block. After the block `call` has ended or will
        never run, so what it works on may be closed. `call` must not block, because `set()` and the end of the block
        wait for it. What it raises is raised where it runs.
        """
        token = object()
        with self._changed:
            if self._set:
                call()
            else:
                self._calls[token] = call
        try:
            yield
        finally:
            with self._changed:
                self._calls.pop(token, None)
