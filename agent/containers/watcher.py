"""Follows the engine: connects, subscribes to its events, lists its containers, and notices when it is away or back.

The only thread that waits for the engine as such. It never asks about one container, so nothing that happens to a
container can keep it from hearing of the others.
"""

import logging
import time
from collections.abc import Callable

from agent.containers.supervisor import Supervisor
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError, EngineRefusedError, EngineUnreachableError
from agent.messages.payloads import EngineInfo
from agent.runtime.cancel import CancelToken
from agent.runtime.watchdog import MARGIN_SECONDS, Watchdog

log = logging.getLogger(__name__)

PROBE_SECONDS = 1.0  # seconds between two looks at an engine that is away: one connect() to its socket
STABLE_AFTER_SECONDS = 10.0  # seconds after which a subscription is called good
SHORT_SUBSCRIPTIONS = (
    3  # subscriptions in a row that do not last before it is tried more seldom: it may be restarted twice
)
MAX_PROBE_SECONDS = (
    32.0  # seconds between two tries, at last, where it is there but none is good: each makes it tell everything
)
RELIST_SECONDS = 60.0  # seconds between two lists; an event can be lost (the engine keeps 256 of them), a list cannot


class EngineWatcher:
    """The events thread. `connected` is called when the engine has answered, before its containers are looked at."""

    def __init__(
        self,
        engine: EngineClient,
        supervisor: Supervisor,
        watchdog: Watchdog,
        timeout: float,
        connected: Callable[[EngineInfo], None],
    ) -> None:
        self._engine = engine
        self._supervisor = supervisor
        self._watchdog = watchdog
        self._within = (
            8 * timeout + MARGIN_SECONDS
        )  # connecting is up to three calls and subscribing one, of two timeouts each
        self._connected = connected
        self._cancel = CancelToken()
        self._since: int | None = None
        self._next_list = 0.0
        self._stands: float | None = None  # since when there is a subscription, and was a list
        self._short = 0  # subscriptions in a row that did not last
        self._told: object = None
        self._missed = False  # somebody was told that it is away
        self.trouble: str | None = "the engine has not answered yet"

    def run(self) -> None:
        """Follow until stop()."""
        while not self._cancel.is_set():
            self._watchdog.expect_within("events", self._within)
            try:
                self._follow()
            except EngineError as error:
                wait = self._lost(error)
                self._watchdog.expect_within("events", wait + MARGIN_SECONDS)
                self._cancel.wait(wait)
        self._watchdog.clear("events")

    def stop(self) -> None:
        """End; returns at once."""
        self._cancel.set()

    def _follow(self) -> None:
        info = self._engine.connect()
        subscribed = False
        for event in self._engine.events(self._since, self._cancel):
            self._watchdog.expect_within("events", self._within)
            if not subscribed:
                self._connected(info)
            if not subscribed or time.monotonic() >= self._next_list:
                self._supervisor.resync(self._engine.list_containers(), every=not subscribed)
                if not subscribed:
                    self._found()
                self._next_list = time.monotonic() + RELIST_SECONDS
            subscribed = True
            if event is None:
                self._supervisor.engine_answers()
            else:
                self._since = event.time
                self._supervisor.handle_event(event)

    def _found(self) -> None:
        if self._missed and self._next_list:
            log.info("the engine is back")
        self._missed = False
        self._stands = time.monotonic()
        self.trouble = None

    def _lost(self, error: EngineError) -> float:
        """Tell what is wrong, unless that was told; return how long to wait.

        An engine that is there, and whose events are of no use, is not told of each time; nor is it asked as often as
        one whose coming back is waited for.
        """
        stood, self._stands = self._stands, None
        if stood is not None and time.monotonic() - stood < STABLE_AFTER_SECONDS:
            self._short += 1
        else:
            self._short = 0
            self._told = self._told if stood is None else None
        wait = min(PROBE_SECONDS * 2.0 ** min(max(self._short - SHORT_SUBSCRIPTIONS, 0), 10), MAX_PROBE_SECONDS)
        if not self._cancel.is_set():
            self._engine.count_retry()
            known = self._told == _kind(error) and (stood is None or self._short > SHORT_SUBSCRIPTIONS)
            log.log(logging.DEBUG if known else logging.WARNING, "%s; looking for it every %.0f s", error, wait)
            self._missed |= not known
            self._told = _kind(error)
            self.trouble = str(error)
        return wait


def _kind(error: EngineError) -> object:
    """What makes an error another one: of what an engine says not the words, which may differ each time."""
    if isinstance(error, EngineUnreachableError):
        return str(error)
    return type(error), error.status if isinstance(error, EngineRefusedError) else None
