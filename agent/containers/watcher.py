"""Watches the engine: connects, subscribes to its events, lists its containers, and notices when it is away or back.

    connect ──► subscribe to events ──► list ──► each event, and every RELIST_SECONDS another list ──► Supervisor
       ▲                                                                   │
       └──────────────────────── wait ◄── the engine fails or goes away ◄──┘

This thread never asks the engine about one container. So a slow answer about one container cannot delay the events of
the others.
"""

import logging
import time
from collections.abc import Callable

from agent.containers.supervisor import Supervisor
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError, EngineRefusedError, EngineUnreachableError, ReplacedSocketError
from agent.messages.payloads import EngineInfo
from agent.runtime.cancel import CancelToken
from agent.runtime.limits import ThreadLimitError
from agent.runtime.retry import Backoff, BackoffPolicy
from agent.runtime.watchdog import MARGIN_SECONDS, Watchdog

log = logging.getLogger(__name__)

FIRST_SERVER_ERROR = 500  # of the HTTP statuses; a proxy answers 502 to 504 if the engine is away

PROBE_SECONDS = 1.0  # between two attempts to reach an engine that is away; each is one connect() to its socket
STABLE_AFTER_SECONDS = 10.0  # a subscription that has lasted for so long counts as a good one

SHORT_SUBSCRIPTIONS = 3
"""So many short subscriptions in a row are normal, when the engine is restarted. After more the waits grow."""

MAX_PROBE_SECONDS = 32.0
"""The longest wait after a short subscription: for each the engine may have to list its containers."""

REPLACED_SOCKET_SECONDS = 300.0
"""How long a mounted socket on which nobody listens is tried. Then the agent ends: a restart mounts the new socket."""

REPLACED_SOCKET_TIMEOUTS = 30
"""The same limit in multiples of `engine.timeout`. The shorter limit counts."""

RELIST_SECONDS = 60.0
"""Between two lists. An event can be lost, because the engine keeps only 256 of them; a list cannot."""


class EngineWatcher:
    """The loop of the events thread, which alone writes its fields.

    Args:
        engine: to watch.
        supervisor: receives the events and lists.
        watchdog: is told how long this thread may take until it calls again.
        timeout: seconds after which a call to the engine fails.
        on_connected: called once for each connection to the engine, with what the engine says of itself. By then the
            engine has accepted a subscription to its events, and listed its containers; the supervisor gets the list
            afterwards. Not called when a silent subscription is renewed.

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
        # The longest time between two calls of the watchdog. In a step there are at most four calls of two timeouts
        # each: /version, /info, the subscription and the list.
        self._max_step_seconds = 8 * timeout + MARGIN_SECONDS
        self._on_connected = on_connected
        self._replaced_socket_timeout = min(REPLACED_SOCKET_SECONDS, REPLACED_SOCKET_TIMEOUTS * timeout)
        self._cancel = CancelToken()
        self._backoff = Backoff(BackoffPolicy(PROBE_SECONDS, 2.0, MAX_PROBE_SECONDS))
        self._since: int | None = None  # when the last event was, ns since the epoch by the engine's clock
        self._next_list = 0.0  # monotonic moment
        self._was_subscribed = False  # once at least: before that the engine cannot be "back"
        self._subscribed_at: float | None = None  # monotonic moment; None while there is no subscription and list
        self._answered = False  # the engine has answered in this attempt
        self._short_subscriptions = 0  # attempts in a row that the engine has answered, but not for long
        self._replaced_since: float | None = None  # monotonic moment; None while the socket is not a replaced one
        self._logged_kind: object = None  # the kind of the error that was logged last
        self._logged_outage = False  # an outage was logged, and its end was not logged yet
        self.trouble: str | None = "the engine has not answered yet"

    def run(self) -> None:
        """Watch until `stop()`.

        Raises:
            ReplacedSocketError: nobody has listened on the engine's mounted socket for REPLACED_SOCKET_SECONDS. Only
                another mount helps, and so a restart of the agent's container.
        """
        while not self._cancel.is_set():
            self._watchdog.expect_within("events", self._max_step_seconds)
            try:
                self._watch()
            except (EngineError, ThreadLimitError) as error:
                self._check_socket(error)
                wait = self._on_failure(error)
                self._watchdog.expect_within("events", wait + MARGIN_SECONDS)
                self._cancel.wait(wait)
        self._watchdog.clear("events")

    def stop(self) -> None:
        """End. Returns at once."""
        self._cancel.set()

    def _watch(self) -> None:
        self._answered = False
        info = self._engine.connect()
        self._answered = True
        subscribed = False
        for event in self._engine.events(self._since, self._cancel):
            self._watchdog.expect_within("events", self._max_step_seconds)
            if not subscribed or time.monotonic() >= self._next_list:
                rows = self._engine.list_containers()
                if not subscribed:
                    self._on_connected(info)
                self._supervisor.resync(rows, inspect_all=not subscribed)
                if not subscribed:
                    self._on_subscribed()
                self._next_list = time.monotonic() + RELIST_SECONDS
            subscribed = True
            if event is None:  # subscribed: for the first time, or again after a silence
                self._supervisor.retry_unreachable()
            else:
                self._since = event.time
                self._supervisor.handle_event(event)

    def _on_subscribed(self) -> None:
        if self._logged_outage and self._was_subscribed:
            log.info("the engine is back")
        self._logged_outage = False
        self._was_subscribed = True
        self._replaced_since = None
        self._subscribed_at = time.monotonic()
        self.trouble = None

    def _check_socket(self, error: EngineError | ThreadLimitError) -> None:
        """Raise the error if the engine's socket was replaced, and that has been so for long enough."""
        if not isinstance(error, ReplacedSocketError):
            self._replaced_since = None
        elif self._replaced_since is None:
            self._replaced_since = time.monotonic()
        elif time.monotonic() - self._replaced_since >= self._replaced_socket_timeout:
            raise error

    def _on_failure(self, error: EngineError | ThreadLimitError) -> float:
        """Log what is wrong, unless that was logged before. Return the seconds to wait.

        An engine may answer, but refuse its list or end its subscriptions soon. That is not logged each time, and such
        an engine is asked more rarely than one that is away.
        """
        subscribed_at, self._subscribed_at = self._subscribed_at, None
        lasted = subscribed_at is not None and time.monotonic() - subscribed_at >= STABLE_AFTER_SECONDS
        if lasted:
            self._logged_kind = None
        if lasted or (not self._answered and _is_away(error)):
            self._short_subscriptions = 0
        else:
            self._short_subscriptions += 1
        if self._short_subscriptions <= SHORT_SUBSCRIPTIONS:
            self._backoff.reset()
        wait = self._backoff.next_wait()
        if not self._cancel.is_set():
            self._engine.count_retry()
            self._log(error, wait, ended_subscription=subscribed_at is not None)
            self.trouble = str(error)
        return wait

    def _log(self, error: EngineError | ThreadLimitError, wait: float, ended_subscription: bool) -> None:
        """Log an error: as a warning if its kind differs from the last one's, or if it has ended a subscription."""
        is_news = ended_subscription and self._short_subscriptions <= SHORT_SUBSCRIPTIONS
        is_known = self._logged_kind == _kind(error) and not is_news
        at_fixed_pace = is_news or not self._short_subscriptions
        pause = "looking for it every" if at_fixed_pace else "next attempt in"
        log.log(logging.DEBUG if is_known else logging.WARNING, "%s; %s %.0f s", error, pause, wait)
        self._logged_outage = self._logged_outage or not is_known
        self._logged_kind = _kind(error)


def _is_away(error: EngineError | ThreadLimitError) -> bool:
    """Return whether the engine is away: it cannot be reached, or a server error comes back, as from a proxy."""
    return isinstance(error, EngineUnreachableError) or (
        isinstance(error, EngineRefusedError) and error.status >= FIRST_SERVER_ERROR
    )


def _kind(error: EngineError | ThreadLimitError) -> object:
    """Return a value that is equal for errors of the same kind. The text of an engine may differ each time."""
    if isinstance(error, EngineUnreachableError):
        return str(error)
    return type(error), error.status if isinstance(error, EngineRefusedError) else None
