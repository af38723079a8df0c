"""CancelToken: a blocking operation can be ended from another thread, at once and only once."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from agent.runtime.cancel import CancelToken

LONG = 60.0  # seconds; a test waits so long only if what it tests is broken


@pytest.fixture
def cancel() -> CancelToken:
    return CancelToken()


@pytest.fixture
def soon() -> Iterator[list[threading.Timer]]:
    """Timers that are waited for when the test ends."""
    timers: list[threading.Timer] = []
    yield timers
    for timer in timers:
        timer.join()


def after(timers: list[threading.Timer], call: object) -> None:
    assert callable(call)
    timers.append(threading.Timer(0.05, call))
    timers[-1].start()


def test_wait_lasts_its_time_without_an_event(cancel: CancelToken) -> None:
    """Without an event the wait ends after its time and returns False."""
    assert cancel.wait(0.01) is False
    assert cancel.is_set() is False


def test_set_ends_a_wait(cancel: CancelToken, soon: list[threading.Timer]) -> None:
    """A wait that is going on ends when the flag is set, and so do all later ones."""
    after(soon, cancel.set)
    assert cancel.wait(LONG) is True
    assert cancel.wait(LONG) is True
    assert cancel.is_set() is True


def test_wake_ends_a_wait(cancel: CancelToken, soon: list[threading.Timer]) -> None:
    """A wake-up cuts a wait short and cancels nothing."""
    after(soon, cancel.wake)
    assert cancel.wait(LONG) is False
    assert cancel.is_set() is False


def test_wake_is_kept_until_a_wait_takes_it(cancel: CancelToken, soon: list[threading.Timer]) -> None:
    """A wake-up before the wait cuts that wait short, and no other."""
    cancel.wake()
    assert cancel.wait(LONG) is False
    after(soon, cancel.set)
    assert cancel.wait(LONG) is True


def test_wake_can_be_discarded(cancel: CancelToken, soon: list[threading.Timer]) -> None:
    """A wake-up that was discarded cuts no wait short."""
    cancel.wake()
    cancel.clear_wake()
    after(soon, cancel.set)
    assert cancel.wait(LONG) is True


def test_set_outranks_a_wake(cancel: CancelToken) -> None:
    """A wait that was both woken and cancelled is cancelled."""
    cancel.wake()
    cancel.set()
    assert cancel.wait(LONG) is True


def test_signal_handler_may_set(cancel: CancelToken, soon: list[threading.Timer]) -> None:
    """A signal handler runs in the thread that waits, and may end its wait."""
    before = signal.signal(signal.SIGUSR1, lambda *_: cancel.set())
    try:
        after(soon, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        assert cancel.wait(LONG) is True
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_interrupting_calls_once_in_the_setters_thread(cancel: CancelToken) -> None:
    """The call runs while `set` does, in its thread, and not again."""
    threads: list[threading.Thread] = []
    with cancel.interrupting(lambda: threads.append(threading.current_thread())):
        setter = threading.Thread(target=cancel.set)
        setter.start()
        setter.join()
        cancel.set()
    cancel.set()
    assert threads == [setter]


def test_interrupting_an_operation_that_is_already_cancelled(cancel: CancelToken) -> None:
    """A block that is entered after `set` is interrupted as it begins."""
    cancel.set()
    calls: list[str] = []
    with cancel.interrupting(lambda: calls.append("ended")):
        assert calls == ["ended"]
    assert calls == ["ended"]


def test_no_call_after_the_block(cancel: CancelToken) -> None:
    """After the block, also after an error, the call does not run any more: its object may be closed."""
    calls: list[str] = []
    with pytest.raises(ValueError, match="broken"), cancel.interrupting(lambda: calls.append("ended")):
        raise ValueError("broken")
    cancel.set()
    assert calls == []


def test_block_does_not_end_during_the_call(cancel: CancelToken) -> None:
    """A call that has begun ends before the block does."""
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def call() -> None:
        begun.set()
        go_on.wait(LONG)
        order.append("called")

    setter = threading.Thread(target=cancel.set)
    with cancel.interrupting(call):
        setter.start()
        assert begun.wait(LONG)
        threading.Timer(0.05, go_on.set).start()
    order.append("left")
    setter.join()
    assert order == ["called", "left"]


def test_every_block_is_interrupted(cancel: CancelToken) -> None:
    """Blocks may be nested; a call that fails keeps no other from running, and `set` raises its error."""
    calls: list[str] = []

    def fail() -> None:
        raise OSError("already gone")

    with (
        cancel.interrupting(lambda: calls.append("outer")),
        cancel.interrupting(fail),
        cancel.interrupting(lambda: calls.append("inner")),
        pytest.raises(OSError, match="already gone"),
    ):
        cancel.set()
    assert sorted(calls) == ["inner", "outer"]
    assert cancel.is_set()
