"""The threads without which nothing works: if one of them fails, the agent ends."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from agent.engine.errors import ReplacedSocketError
from agent.mqtt.stdout import OutputError
from agent.runtime.cancel import CancelToken

log = logging.getLogger(__name__)


class ThreadGuard:
    """Starts threads, and ends the agent when one of them fails.

    Args:
        ending: set when a thread fails, which ends the agent.

    Attributes:
        failed: whether a thread has failed. The threads only ever set it to True.
    """

    def __init__(self, ending: CancelToken) -> None:
        self._ending = ending
        self.failed = False

    def start(self, name: str, run: Callable[[], None]) -> threading.Thread:
        """Run a function in a daemon thread of this name."""
        thread = threading.Thread(target=partial(self._run, run), name=name, daemon=True)
        thread.start()
        return thread

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BrokenPipeError:  # `--dry-run` into a program that has read enough
            self._ending.set()
        except ReplacedSocketError as error:  # only the container's restart policy can help: it mounts the new socket
            self._fail("%s. The agent ends, so that it is started anew", error)
        except OutputError as error:  # `--dry-run` onto a full disk
            self._fail("%s", error)
        except Exception:  # the edge of a thread: the log says why the agent ends
            log.exception("the agent ends because of a defect of its own")
            self._fail()

    def _fail(self, text: str = "", *values: object) -> None:
        if text:
            log.error(text, *values)
        self.failed = True
        self._ending.set()
