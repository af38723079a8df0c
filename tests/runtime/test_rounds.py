"""The rounds: what is due is done, in one thread, whatever becomes of one of the turns."""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import pytest
from support.daemons.no_threads import no_threads
from support.daemons.processes import wait_until

from agent.runtime.limits import ThreadLimitError
from agent.runtime.rounds import Rounds
from agent.runtime.watchdog import Watchdog

PATIENT = 20.0
FAR = 3600.0


class Diary:
    """Notes who was called, and in which thread."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[tuple[str, threading.Thread]] = SimpleQueue()

    def turn(self, name: str) -> Callable[[], None]:
        """Return what notes this name when it is called."""
        return lambda: self.calls.put((name, threading.current_thread()))

    def next(self) -> tuple[str, threading.Thread]:
        """Return who is called next."""
        return self.calls.get(timeout=PATIENT)


@pytest.fixture
def diary() -> Diary:
    """Give an empty one."""
    return Diary()


def test_at_its_time_and_once(diary: Diary) -> None:
    """Each turn is taken once, not before it is due, in the order of their times, all in one thread."""
    rounds, now = Rounds(Watchdog()), time.monotonic()
    rounds.add(diary.turn("late"), now + 0.4)
    rounds.add(diary.turn("early"), now + 0.2)
    early, late = diary.next(), diary.next()
    assert time.monotonic() >= now + 0.4
    assert (early[0], late[0]) == ("early", "late")
    assert early[1] is late[1]
    late[1].join(PATIENT)
    assert diary.calls.empty()


def test_a_turn_that_comes_again(diary: Diary) -> None:
    """A turn may add itself again, from within."""
    rounds, left = Rounds(Watchdog()), iter("321")

    def turn() -> None:
        if number := next(left, ""):
            diary.turn(number)()
            rounds.add(turn, time.monotonic() + 0.01)

    rounds.add(turn, 0)
    assert [diary.next()[0] for _ in range(3)] == ["3", "2", "1"]


def test_one_that_is_due_earlier_does_not_wait_for_the_others(diary: Diary) -> None:
    """The thread that sleeps until the next turn is woken by one that comes before it."""
    rounds, far = Rounds(Watchdog()), diary.turn("far")
    rounds.add(far, time.monotonic() + FAR)
    rounds.add(diary.turn("near"), 0)
    assert diary.next()[0] == "near"
    rounds.remove(far)  # or its thread would sleep on beside the tests that come after


def test_removed(diary: Diary) -> None:
    """What is removed is not done; and when nothing is left to do the thread ends, and comes back when there is."""
    watchdog = Watchdog()
    rounds, far = Rounds(watchdog), diary.turn("far")
    rounds.add(diary.turn("now"), 0)
    rounds.add(far, time.monotonic() + FAR)
    _, thread = diary.next()
    rounds.remove(far)
    rounds.remove(far)
    thread.join(PATIENT)
    assert not thread.is_alive()
    rounds.add(diary.turn("again"), 0)
    assert diary.next()[0] == "again"


def test_a_defect_is_one_turns_own(diary: Diary, expected_warnings: Callable[..., None]) -> None:
    """A turn that fails is told of and not taken again; the others go on."""
    expected_warnings("a collector ended by a defect of the agent")

    def fail() -> None:
        raise RuntimeError("a defect")

    rounds = Rounds(Watchdog())
    rounds.add(fail, 0)
    rounds.add(diary.turn("well"), time.monotonic() + 0.1)
    assert diary.next()[0] == "well"


def test_no_thread_can_be_had(diary: Diary) -> None:
    """That is said to whoever adds a turn; later it works."""
    rounds = Rounds(Watchdog())
    with no_threads(), pytest.raises(ThreadLimitError, match="TasksMax"):
        rounds.add(diary.turn("lost"), time.monotonic())
    rounds.add(diary.turn("later"), time.monotonic())
    assert diary.next()[0] == "later"


def test_a_turn_that_hangs_is_overdue(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread promises when it will show up again: one turn that does not return is seen by the watchdog."""
    monkeypatch.setattr("agent.runtime.rounds.MARGIN_SECONDS", 0.05)
    watchdog, held, entered = Watchdog(), threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        held.wait(PATIENT)

    rounds = Rounds(watchdog)
    rounds.add(hang, 0)
    assert entered.wait(PATIENT)
    wait_until(lambda: watchdog.overdue() == ["rounds"], PATIENT, "nobody notices")
    held.set()
    rounds.add(diary.turn("on"), 0)
    assert diary.next()[0] == "on"
