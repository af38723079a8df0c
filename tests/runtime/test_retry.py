"""Backoff: waits grow to a cap and never beyond, and nothing is tried again after it was called off."""

import math
import threading
import time

import pytest
from tenacity import RetryCallState, Retrying

from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.retry import JITTER_SHARE, Backoff, retrying

ATTEMPTS = 10_000
STATE = RetryCallState(Retrying(), None, (), {})
LONG = 60.0  # seconds that no test waits, unless what it tests is broken


def expected(base: float, factor: float, cap: float, attempt: int) -> float:
    """Return min(base * factor^n, cap), reckoned with logarithms where the power would overflow."""
    if math.log(base) + attempt * math.log(factor) > math.log(cap) + 1:
        return cap
    return min(base * float(factor) ** attempt, cap)


@pytest.mark.parametrize(
    ("base", "factor", "cap"),
    [(5, 4, 120), (0.1, 1.01, 3600), (1, 2, 1), (5, 1, 120), (200, 4, 120), (1, 1e300, 1e9), (1e-9, 10, 1e200)],
)
def test_waits(base: float, factor: float, cap: float) -> None:
    """Wait n is min(base * factor^n, cap), lengthened by 10 % at most, up to the ten thousandth and on."""
    backoff = Backoff(base, factor, cap)
    for attempt in range(ATTEMPTS):
        wait = backoff(STATE)
        shortest = expected(base, factor, cap, attempt)
        assert shortest * (1 - 1e-9) <= wait <= shortest * (1 + JITTER_SHARE) * (1 + 1e-9), f"attempt {attempt}"


def test_default_waits() -> None:
    """The documented defaults: 5, 20, 80, 120, 120 … seconds."""
    backoff = Backoff(5, 4, 120)
    for shortest in (5, 20, 80, 120, 120, 120):
        assert shortest <= backoff(STATE) <= shortest * 1.1


def test_jitter_at_the_cap() -> None:
    """Those who wait for the same thing do not come back at the same instant, at the cap neither."""
    waits = {Backoff(120, 4, 120)(STATE) for _ in range(100)}
    assert len(waits) > 50


def test_reset() -> None:
    """What has worked again begins at the first wait the next time."""
    backoff = Backoff(5, 4, 120)
    for _ in range(5):
        backoff(STATE)
    backoff.reset()
    assert 5 <= backoff(STATE) <= 5.5
    assert 20 <= backoff(STATE) <= 22


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


def test_retries_named_errors() -> None:
    """Each failure is told with its wait, and the value comes through in the end."""
    told: list[tuple[str, float]] = []
    task = Flaky(OSError("one"), TimeoutError("two"))
    retry = retrying(
        Backoff(0.01, 2, 1), CancelToken(), (OSError,), lambda error, wait: told.append((str(error), wait))
    )
    assert retry(task) == "done"
    assert [error for error, _ in told] == ["one", "two"]
    assert 0.01 <= told[0][1] <= 0.011 < 0.02 <= told[1][1] <= 0.022


def test_other_errors_pass() -> None:
    """An error that nobody named is a defect: it is neither retried nor wrapped."""
    task = Flaky(ValueError("defect"))
    with pytest.raises(ValueError, match="defect"):
        retrying(Backoff(LONG, 2, LONG), CancelToken(), (OSError,), ignore)(task)
    assert task.attempts == 1


def test_no_attempt_when_cancelled_before() -> None:
    """What was called off before it began is not tried."""
    cancel, task = CancelToken(), Flaky()
    cancel.set()
    with pytest.raises(CancelledError):
        retrying(Backoff(LONG, 2, LONG), cancel, (OSError,), ignore)(task)
    assert task.attempts == 0


def test_no_attempt_after_cancel_during_the_wait() -> None:
    """A wait that is cut short because all is over is not followed by one more attempt."""
    cancel, task = CancelToken(), Flaky(OSError(), OSError())
    timers: list[threading.Timer] = []

    def on_wait(_: BaseException, __: float) -> None:
        timers.append(threading.Timer(0.05, cancel.set))
        timers[0].start()

    with pytest.raises(CancelledError):
        retrying(Backoff(LONG, 2, LONG), cancel, (OSError,), on_wait)(task)
    timers[0].join()
    assert task.attempts == 1


def test_no_wait_after_cancel_during_the_attempt() -> None:
    """What fails because it was called off is no failure: nobody is told of a wait that will not be."""
    cancel = CancelToken()
    told: list[BaseException] = []

    def task() -> None:
        cancel.set()
        raise OSError("interrupted")

    with pytest.raises(CancelledError):
        retrying(Backoff(LONG, 2, LONG), cancel, (OSError,), lambda error, _: told.append(error))(task)
    assert told == []


def test_works_as_a_loop() -> None:
    """The other form, `for attempt in …`, obeys in the same way."""
    cancel, task = CancelToken(), Flaky(OSError(), OSError())

    def loop() -> None:
        for attempt in retrying(Backoff(LONG, 2, LONG), cancel, (OSError,), lambda *_: cancel.set()):
            with attempt:
                task()

    with pytest.raises(CancelledError):
        loop()
    assert task.attempts == 1


def test_nudge_cuts_the_wait_short() -> None:
    """What is seen to be back is tried at once."""
    cancel, task = CancelToken(), Flaky(OSError())
    assert retrying(Backoff(LONG, 2, LONG), cancel, (OSError,), lambda *_: cancel.wake())(task) == "done"
    assert task.attempts == 2


def test_nudge_during_the_failing_attempt_is_not_lost() -> None:
    """It may be back between the failure and the wait: then there is no wait."""
    cancel, task = CancelToken(), Flaky(OSError())

    def attempt() -> str:
        cancel.wake()
        return task()

    assert retrying(Backoff(LONG, 2, LONG), cancel, (OSError,), ignore)(attempt) == "done"


def test_old_nudge_is_forgotten() -> None:
    """A nudge from before the attempt was made use of by it, and cuts no wait short."""
    cancel, task = CancelToken(), Flaky(OSError())
    cancel.wake()
    begun = time.monotonic()
    assert retrying(Backoff(0.2, 2, 1), cancel, (OSError,), ignore)(task) == "done"
    assert time.monotonic() - begun >= 0.2
