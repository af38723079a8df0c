"""Signals: the first SIGTERM or SIGINT ends the agent in order, the second one at once; SIGHUP asks for a reload."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from agent.runtime.cancel import CancelToken


class ReloadRequest:
    """Whether the configuration is to be read anew. Several requests before a `take` are one.

    Args:
        main: the main thread's token, which is woken at a request.
    """

    def __init__(self, main: CancelToken) -> None:
        self._main = main
        self._made = False

    def make(self) -> None:
        """Ask for a reload; a signal handler may call this."""
        self._made = True
        self._main.wake()

    def take(self) -> bool:
        """Return whether there was a request since the last call."""
        made, self._made = self._made, False
        return made


@contextmanager
def agent_signals(ending: CancelToken, reload: ReloadRequest) -> Iterator[None]:
    """Handle signals while the block runs; afterwards the earlier handlers are restored.

    Args:
        ending: set at the first SIGTERM or SIGINT. The next one has its default effect, which kills the process.
        reload: the request that each SIGHUP makes. By default that signal would kill the agent.
    """

    def request_reload(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        reload.make()

    earlier = signal.signal(signal.SIGHUP, request_reload)
    try:
        with ending_signals(ending):
            yield
    finally:
        signal.signal(signal.SIGHUP, earlier)


@contextmanager
def ending_signals(ending: CancelToken) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT set `ending` while the block runs; the next one kills the process."""

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        ending.set()

    earlier = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
