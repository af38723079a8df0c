"""How long to wait before the next attempt, and the retry loop of the publisher and the collectors."""

import random
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_base

from agent.runtime.cancel import CancelledError, CancelToken

# Share of the wait. A hundred collectors that lost one engine must not all come back at the same instant.
JITTER_SHARE = 0.1


class BackoffPolicy:
    """The numbers that several backoffs share: min(base * factor^n, cap) seconds before retry n, counted from 0.

    Attributes:
        numbers: the first wait (s), the factor and the cap (s). A tuple, so that no thread sees a change half made.
    """

    def __init__(self, base: float, factor: float, cap: float) -> None:
        self.change(base, factor, cap)

    def change(self, base: float, factor: float, cap: float) -> None:
        """Let all backoffs that follow this policy start over with other numbers; `base` and `cap` are in seconds."""
        self.numbers = (min(base, cap), factor, cap)

    @property
    def cap(self) -> float:
        """The longest wait in seconds, without the jitter."""
        return self.numbers[2]


class Backoff(wait_base):
    """The waits of one retry loop: those of its policy, plus a jitter of at most 10 %.

    The next wait is kept and multiplied, so that no number of attempts can overflow: Nomad computed factor^n first and
    applied the cap afterwards, and its wait became 0 at the 28th attempt. Not thread-safe.
    """

    def __init__(self, policy: BackoffPolicy) -> None:
        self.policy = policy
        self._numbers = policy.numbers
        self._next = self._numbers[0]

    def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - tenacity's count cannot be reset
        """Return the seconds to wait now; this is how tenacity asks."""
        return self.next_wait()

    def next_wait(self) -> float:
        """Return the seconds to wait now, and make the next wait longer."""
        if self._numbers != self.policy.numbers:
            self._numbers = self.policy.numbers
            self.reset()
        wait = self._next
        _, factor, cap = self._numbers
        self._next = min(wait * factor, cap)
        return wait * (1 + random.uniform(0, JITTER_SHARE))  # noqa: S311 - it spreads retries and guards nothing

    def reset(self) -> None:
        """Start at `base` again, because an attempt has succeeded."""
        self._next = self._numbers[0]


def retrying(
    backoff: Backoff,
    cancel: CancelToken,
    errors: tuple[type[Exception], ...],
    on_wait: Callable[[BaseException, float], None],
    sleep: Callable[[float], None] | None = None,
) -> Retrying:
    """Return a tenacity retry loop, to be called with a function: `retrying(…)(function)`.

    The loop calls the function until it returns, or raises something that is not in `errors`. For one thread only.

    Args:
        backoff: how long to wait after each failure; reset it when an attempt has succeeded for good.
        cancel: ends the loop with CancelledError. After that no attempt is made, not even a first one. Tenacity's own
            `stop` is not enough: it is checked before a wait, so another attempt would follow the wait.
        errors: what is tried again. Other errors are passed on.
        on_wait: called with the error and the seconds before each wait.
        sleep: waits for so many seconds. By default a wait that `cancel.set()` and `cancel.wake()` cut short.
    """

    def raise_if_cancelled(_: RetryCallState | None = None) -> None:
        if cancel.is_set():
            raise CancelledError

    def before_attempt(_: RetryCallState) -> None:
        # Cleared first, and the attempt looks afterwards: it already uses what an earlier wake-up was about.
        cancel.clear_wake()
        raise_if_cancelled()

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            on_wait(error, state.upcoming_sleep)

    def interruptible_sleep(seconds: float) -> None:
        (sleep or cancel.wait)(seconds)
        raise_if_cancelled()

    return Retrying(
        before=before_attempt,
        after=raise_if_cancelled,
        wait=backoff,
        before_sleep=before_sleep,
        sleep=interruptible_sleep,
        retry=retry_if_exception_type(errors),
        reraise=True,
    )
