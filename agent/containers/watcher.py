"""Watches the engine: connects, subscribes to its events, lists its containers, and notices when it is away or back.

    connect ──► subscribe to events ──► list ──► each event, and every RELIST_SECONDS another list ──► Supervisor
       ▲                                                                   │
       └──────────────────────── wait ◄── the engine fails or goes away ◄──┘

This thread waits for the engine as a whole and never asks about one container, so a slow answer about one container
cannot delay the events of the others.
"""

import logging
import time
from collections.abc import Callable

from agent.containers.supervisor import Supervisor
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError, EngineRefusedError, EngineUnreachableError
from agent.messages.payloads import EngineInfo
from agent.runtime.cancel import CancelToken
from agent.runtime.limits import ThreadLimitError
from agent.runtime.retry import Backoff
from agent.runtime.watchdog import MARGIN_SECONDS, Watchdog

log = logging.getLogger(__name__)

PROBE_SECONDS = 1.0  # between two attempts to reach an engine that is away; each is one connect() to its socket
STABLE_AFTER_SECONDS = 10.0  # a subscription that has lasted for so long was a good one

SHORT_SUBSCRIPTIONS = 3
"""Up to so many short subscriptions in a row are normal (restarts). After more, attempts become rarer."""

MAX_PROBE_SECONDS = 32.0
"""Between two attempts, at most, while subscriptions are short: each one makes the engine list all its containers."""

RELIST_SECONDS = 60.0
"""Between two lists. An event can be lost, because the engine keeps only 256 of them; a list cannot."""


class EngineWatcher:
    """The loop of the events thread, which alone writes its fields.

    Args:
        engine: to watch.
        supervisor: receives the events and lists.
        watchdog: is told by when this thread has to move.
        timeout: seconds after which a call to the engine fails.
        on_connected: called once for each connection to the engine, when the first subscription to its events stands
            and before its containers are listed. Not called when a silent subscription is renewed.

    Attributes:
        trouble: what is wrong with the engine; None if nothing is. Read by other threads.
    """

    def __init__(
        self,
        engine: EngineClient,
        supervisor: Supervisor,
        watchdog: Watchdog,
        timeout: float,
        on_connected: Callable[[EngineInfo], None],
    ) -> None:
        self._engine = engine
        self._supervisor = supervisor
        self._watchdog = watchdog
        # At most four calls of two timeouts each: /version, /info, the subscription and the list.
        self._within = 8 * timeout + MARGIN_SECONDS
        self._on_connected = on_connected
        self._cancel = CancelToken()
        self._backoff = Backoff(PROBE_SECONDS, 2.0, MAX_PROBE_SECONDS)
        self._since: int | None = None  # when the last event was, ns since the epoch by the engine's clock
        self._next_list = 0.0  # monotonic moment
        self._was_subscribed = False  # once at least; so a first outage is not followed by "the engine is back"
        self._subscribed_at: float | None = None  # monotonic moment; None while there is no subscription and list
        self._short_subscriptions = 0  # in a row
        self._logged_kind: object = None  # of the error that was logged last
        self._logged_outage = False  # and not its end yet
        self.trouble: str | None = "the engine has not answered yet"

    def run(self) -> None:
        """Watch until `stop()`."""
        while not self._cancel.is_set():
            self._watchdog.expect_within("events", self._within)
            try:
                self._watch()
            except (EngineError, ThreadLimitError) as error:
                wait = self._on_failure(error)
                self._watchdog.expect_within("events", wait + MARGIN_SECONDS)
                self._cancel.wait(wait)
        self._watchdog.clear("events")

    def stop(self) -> None:
        """End. Returns at once."""
        self._cancel.set()

    def _watch(self) -> None:
        info = self._engine.connect()
        subscribed = False
        for event in self._engine.events(self._since, self._cancel):
            self._watchdog.expect_within("events", self._within)
            if not subscribed:
                self._on_connected(info)
            if not subscribed or time.monotonic() >= self._next_list:
                self._supervisor.resync(self._engine.list_containers(), inspect_all=not subscribed)
                if not subscribed:
                    self._on_subscribed()
                self._next_list = time.monotonic() + RELIST_SECONDS
            subscribed = True
            if event is None:  # a subscription stands: the first one, or one that was renewed after a silence
                self._supervisor.retry_unreachable()
            else:
                self._since = event.time
                self._supervisor.handle_event(event)

    def _on_subscribed(self) -> None:
        if self._logged_outage and self._was_subscribed:
            log.info("the engine is back")
        self._logged_outage = False
        self._was_subscribed = True
        self._subscribed_at = time.monotonic()
        self.trouble = None

    def _on_failure(self, error: EngineError | ThreadLimitError) -> float:
        """Log what is wrong, unless that was logged before. Return the seconds to wait.

        An engine that answers but whose subscriptions are short is not logged each time, and it is asked more rarely
        than one that is away.
        """
        subscribed_at, self._subscribed_at = self._subscribed_at, None
        if subscribed_at is not None and time.monotonic() - subscribed_at < STABLE_AFTER_SECONDS:
            self._short_subscriptions += 1
        else:
            self._short_subscriptions = 0
            if subscribed_at is not None:
                self._logged_kind = None
        if self._short_subscriptions <= SHORT_SUBSCRIPTIONS:
            self._backoff.reset()
        wait = self._backoff.next_wait()
        if not self._cancel.is_set():
            self._engine.count_retry()
            is_known = self._logged_kind == _kind(error)
            is_normal = subscribed_at is not None and self._short_subscriptions <= SHORT_SUBSCRIPTIONS
            if is_known and not is_normal:
                log.debug("%s; looking for it every %.0f s", error, wait)
            else:
                log.warning("%s; looking for it every %.0f s", error, wait)
                self._logged_outage = True
            self._logged_kind = _kind(error)
            self.trouble = str(error)
        return wait


def _kind(error: EngineError | ThreadLimitError) -> object:
    """Return what makes one error differ from another; the text of an engine's answer may be another each time."""
    if isinstance(error, EngineUnreachableError):
        return str(error)
    return type(error), error.status if isinstance(error, EngineRefusedError) else None
