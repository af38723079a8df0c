"""Backoff and retry loop: waits grow to a cap, and nothing is tried again after it was cancelled."""

import math
import threading
import time

import pytest

from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.retry import JITTER_SHARE, Backoff, BackoffPolicy, retrying

ATTEMPTS = 10_000
LONG = 60.0  # seconds; a test waits so long only if what it tests is broken


def expected(base: float, factor: float, cap: float, attempt: int) -> float:
    """Return min(base * factor^n, cap), computed with logarithms where the power would overflow."""
    if math.log(base) + attempt * math.log(factor) > math.log(cap) + 1:
        return cap
    return min(base * float(factor) ** attempt, cap)


@pytest.mark.parametrize(
    ("base", "factor", "cap"),
    [(5, 4, 120), (0.1, 1.01, 3600), (1, 2, 1), (5, 1, 120), (200, 4, 120), (1, 1e300, 1e9), (1e-9, 10, 1e200)],
)
def test_wait_n_is_base_times_factor_to_the_n_up_to_the_cap(base: float, factor: float, cap: float) -> None:
    """Wait n is min(base * factor^n, cap), lengthened by at most 10 %, up to the ten thousandth."""
    backoff = Backoff(BackoffPolicy(base, factor, cap))
    for attempt in range(ATTEMPTS):
        wait = backoff.next_wait()
        shortest = expected(base, factor, cap, attempt)
        assert shortest * (1 - 1e-9) <= wait <= shortest * (1 + JITTER_SHARE) * (1 + 1e-9), f"attempt {attempt}"


def test_defaults_wait_5_20_80_and_then_120_seconds() -> None:
    """The documented defaults: 5, 20, 80, 120, 120 … seconds."""
    backoff = Backoff(BackoffPolicy(5, 4, 120))
    for shortest in (5, 20, 80, 120, 120, 120):
        assert shortest <= backoff.next_wait() <= shortest * 1.1


def test_jitter_spreads_waits_at_the_cap_too() -> None:
    """Retries for the same cause do not all happen at the same instant, not even at the cap."""
    waits = {Backoff(BackoffPolicy(120, 4, 120)).next_wait() for _ in range(100)}
    assert len(waits) > 50


def test_reset_starts_at_the_first_wait_again() -> None:
    """After a success the next failure waits `base` seconds again."""
    backoff = Backoff(BackoffPolicy(5, 4, 120))
    for _ in range(5):
        backoff.next_wait()
    backoff.reset()
    assert 5 <= backoff.next_wait() <= 5.5
    assert 20 <= backoff.next_wait() <= 22


class Flaky:
    """Fails as often as it has errors, then returns "done"."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.attempts = 0

    def __call__(self) -> str:
        """Make one attempt."""
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def ignore(_: BaseException, __: float) -> None:
    pass


def test_named_errors_are_retried() -> None:
    """`on_wait` gets each error with its wait, and the function's value is returned in the end."""
    calls: list[tuple[str, float]] = []
    task = Flaky(OSError("one"), TimeoutError("two"))
    retry = retrying(
        Backoff(BackoffPolicy(0.01, 2, 1)),
        CancelToken(),
        (OSError,),
        lambda error, wait: calls.append((str(error), wait)),
    )
    assert retry(task) == "done"
    assert [error for error, _ in calls] == ["one", "two"]
    assert 0.01 <= calls[0][1] <= 0.011 < 0.02 <= calls[1][1] <= 0.022


def test_other_errors_are_passed_on() -> None:
    """An error that is not in the list is a defect: it is neither retried nor wrapped."""
    task = Flaky(ValueError("defect"))
    with pytest.raises(ValueError, match="defect"):
        retrying(Backoff(BackoffPolicy(LONG, 2, LONG)), CancelToken(), (OSError,), ignore)(task)
    assert task.attempts == 1


def test_cancelled_before_the_first_attempt() -> None:
    """A loop that is cancelled before it begins makes no attempt."""
    cancel, task = CancelToken(), Flaky()
    cancel.set()
    with pytest.raises(CancelledError):
        retrying(Backoff(BackoffPolicy(LONG, 2, LONG)), cancel, (OSError,), ignore)(task)
    assert task.attempts == 0


def test_no_attempt_follows_a_cancelled_wait() -> None:
    """A wait that ends because of a cancellation is not followed by one more attempt."""
    cancel, task = CancelToken(), Flaky(OSError(), OSError())
    timers: list[threading.Timer] = []

    def on_wait(_: BaseException, __: float) -> None:
        timers.append(threading.Timer(0.05, cancel.set))
        timers[0].start()

    with pytest.raises(CancelledError):
        retrying(Backoff(BackoffPolicy(LONG, 2, LONG)), cancel, (OSError,), on_wait)(task)
    timers[0].join()
    assert task.attempts == 1


def test_no_wait_follows_a_cancelled_attempt() -> None:
    """An attempt that fails because it was cancelled is no failure: `on_wait` is not called."""
    cancel = CancelToken()
    calls: list[BaseException] = []

    def task() -> None:
        cancel.set()
        raise OSError("interrupted")

    with pytest.raises(CancelledError):
        retrying(Backoff(BackoffPolicy(LONG, 2, LONG)), cancel, (OSError,), lambda error, _: calls.append(error))(task)
    assert calls == []


def test_iterator_form_behaves_the_same() -> None:
    """Tenacity's other form, `for attempt in …`, obeys the same rules."""
    cancel, task = CancelToken(), Flaky(OSError(), OSError())

    def loop() -> None:
        for attempt in retrying(Backoff(BackoffPolicy(LONG, 2, LONG)), cancel, (OSError,), lambda *_: cancel.set()):
            with attempt:
                task()

    with pytest.raises(CancelledError):
        loop()
    assert task.attempts == 1


def test_wake_cuts_the_wait_short() -> None:
    """A wake-up during the wait starts the next attempt at once."""
    cancel, task = CancelToken(), Flaky(OSError())
    assert retrying(Backoff(BackoffPolicy(LONG, 2, LONG)), cancel, (OSError,), lambda *_: cancel.wake())(task) == "done"
    assert task.attempts == 2


def test_wake_during_a_failing_attempt_is_not_lost() -> None:
    """A wake-up between the failure and the wait cancels the wait."""
    cancel, task = CancelToken(), Flaky(OSError())

    def attempt() -> str:
        cancel.wake()
        return task()

    assert retrying(Backoff(BackoffPolicy(LONG, 2, LONG)), cancel, (OSError,), ignore)(attempt) == "done"


def test_wake_from_before_the_attempt_is_discarded() -> None:
    """A wake-up from before the attempt was used by it, and cuts no wait short."""
    cancel, task = CancelToken(), Flaky(OSError())
    cancel.wake()
    begun = time.monotonic()
    assert retrying(Backoff(BackoffPolicy(0.2, 2, 1)), cancel, (OSError,), ignore)(task) == "done"
    assert time.monotonic() - begun >= 0.2


def test_a_sleep_of_the_callers_own_replaces_the_wait() -> None:
    """The loop waits with `sleep`, and looks afterwards whether it was cancelled."""
    cancel, task = CancelToken(), Flaky(OSError(), OSError())
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        cancel.set()

    with pytest.raises(CancelledError):
        retrying(Backoff(BackoffPolicy(1, 2, 1)), cancel, (OSError,), ignore, sleep)(task)
    assert len(slept) == 1
    assert task.attempts == 1


def test_backoffs_start_over_when_their_policy_changes() -> None:
    """All that follow it, and only once."""
    policy = BackoffPolicy(5, 4, 120)
    both = [Backoff(policy), Backoff(policy)]
    both[0].next_wait()
    policy.change(100, 2, 300)
    for backoff in both:
        for least in (100, 200, 300, 300):
            assert least <= backoff.next_wait() <= least * (1 + JITTER_SHARE)
    both[0].reset()
    assert both[0].next_wait() <= 100 * (1 + JITTER_SHARE)
    assert policy.cap == 300
