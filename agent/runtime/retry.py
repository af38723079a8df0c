"""How long to wait before trying again, and the one way of trying again."""

import random
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_base

from agent.runtime.cancel import CancelledError, CancelToken

JITTER_SHARE = (
    0.1  # share of the wait: a hundred collectors that lost one engine must not all come back at the same instant
)


class Backoff(wait_base):
    """Waits of base, base * factor, base * factor^2 … seconds, never above cap, each lengthened by 10 % at most.

    It keeps the next wait and multiplies that, so that no number of attempts can overflow: computing factor^n first
    and capping afterwards once made Nomad's wait 0 at the 28th attempt. One `Backoff` belongs to one thread.
    """

    def __init__(self, base: float, factor: float, cap: float) -> None:
        self._first = min(base, cap)
        self._factor = factor
        self._cap = cap
        self._next = self._first

    def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - the waits are counted here, to be reset
        """Return the seconds to wait now, and make the next wait longer."""
        wait = self._next
        self._next = min(wait * self._factor, self._cap)
        return wait * (1 + random.uniform(0, JITTER_SHARE))  # noqa: S311 - it spreads retries and guards nothing

    def reset(self) -> None:
        """Start at base again: what was tried works now."""
        self._next = self._first


def retrying(
    backoff: Backoff,
    cancel: CancelToken,
    errors: tuple[type[Exception], ...],
    on_wait: Callable[[BaseException, float], None],
) -> Retrying:
    """Return what calls a function until it does not raise one of `errors`: `retrying(…)(function)`.

    Before each wait `on_wait(error, seconds)` is called. A wait is cut short by `cancel.set()` and `cancel.nudge()`.
    Other errors pass through. Raises CancelledError once `cancel` is set: after that no attempt is made, not even a
    first one (tenacity's own stop event lets one more through when it ends a wait). For one thread only.
    """

    def go_on(_: RetryCallState) -> None:
        if cancel.is_set():
            raise CancelledError

    def begin(state: RetryCallState) -> None:
        cancel.clear_wake()  # before the flag is looked at and the attempt made: what it told is used by this attempt
        go_on(state)

    def announce(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            on_wait(error, state.upcoming_sleep)

    def sleep(seconds: float) -> None:
        if cancel.wait(seconds):
            raise CancelledError

    return Retrying(
        before=begin,
        after=go_on,
        wait=backoff,
        before_sleep=announce,
        sleep=sleep,
        retry=retry_if_exception_type(errors),
        reraise=True,
    )
