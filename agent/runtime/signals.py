"""Signals: the first SIGTERM or SIGINT ends the agent in order, the second one at once."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from agent.runtime.cancel import CancelToken

log = logging.getLogger(__name__)


@contextmanager
def ending_signals(ending: CancelToken) -> Iterator[None]:
    """Handle signals while the block runs; afterwards the earlier handlers are restored.

    SIGHUP is only logged: the configuration is read at the start, and by default the signal would kill the agent.

    Args:
        ending: set at the first SIGTERM or SIGINT. The next one has its default effect, which kills the process.
    """

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        ending.set()

    def explain(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        log.warning("SIGHUP: the configuration is read at the start only; restart the agent to apply changes")

    handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: explain}
    earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
