"""One flag and one sleep for one blocking thing, which another thread can end.

A thread that waits, sleeps or reads from a socket is given a `Cancel`. Whoever wants it to end calls `set()`: a sleep
in `wait` returns, and what runs inside `interrupting(call)` is ended by `call`. Nothing has to wake up and look.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager


class CancelledError(Exception):
    """The work was called off; nothing went wrong."""


class CancelToken:
    """Ends the one blocking thing it was made for; every method may be called from any thread.

    A nudge cuts a wait short without ending anything: "what you are waiting for may be there now". It sticks until the
    next `wait` takes it or `clear_nudge` throws it away. So one that comes in while an attempt is still failing is
    not lost between the failure and the wait, and the start of a new attempt, which makes use of all news there is,
    clears what came before it (see backoff.retrying).
    """

    def __init__(self) -> None:
        # Reentrant, because an interrupting call, and a signal handler too, may come back in on the same thread.
        self._changed = threading.Condition(threading.RLock())
        self._set = False
        self._nudged = False
        self._calls: dict[object, Callable[[], object]] = {}

    def set(self) -> None:
        """End the thing, for good. Every call registered now has run when this returns; a second time does nothing."""
        with self._changed:
            self._set = True
            self._changed.notify_all()
            with ExitStack() as stack:  # one that raises must not keep the others from being called
                while self._calls:
                    stack.callback(self._calls.popitem()[1])

    def is_set(self) -> bool:
        """Return whether `set` was called."""
        return self._set

    def wake(self) -> None:
        """Cut the wait short that is going on, or else the next one."""
        with self._changed:
            self._nudged = True
            self._changed.notify_all()

    def clear_wake(self) -> None:
        """Forget a nudge that no wait has taken."""
        with self._changed:
            self._nudged = False

    def wait(self, timeout: float) -> bool:
        """Sleep for `timeout` seconds at most; return True when set, and False after the time or a nudge."""
        with self._changed:
            self._changed.wait_for(lambda: self._set or self._nudged, timeout)
            self._nudged = False
            return self._set

    @contextmanager
    def interrupting(self, call: Callable[[], object]) -> Iterator[None]:
        """Have `set()` run `call`, once and in its own thread, while the block runs; run it at once if already set.

        After the block `call` has ended or will never run: what it works on may be closed. It must not block, for
        `set()` and the end of the block wait for it, and what it raises is raised by `set()`.
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
