"""Scheduler: each job runs once, when it is due, whatever becomes of the others."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import SimpleQueue

import pytest
from support.daemons.no_threads import no_threads
from support.daemons.processes import wait_until

from agent.runtime import watchdog as watchdog_module
from agent.runtime.limits import ThreadLimitError
from agent.runtime.scheduler import Job, Scheduler
from agent.runtime.watchdog import Watchdog

PATIENT = 20.0
FAR = 3600.0


class Journal:
    """Notes which job ran, and in which thread."""

    def __init__(self) -> None:
        self.entries: SimpleQueue[tuple[str, threading.Thread]] = SimpleQueue()

    def job(self, name: str) -> Job:
        """Return a job that notes this name."""
        return lambda: self.entries.put((name, threading.current_thread()))

    def next(self) -> tuple[str, threading.Thread]:
        """Return the next entry."""
        return self.entries.get(timeout=PATIENT)

    def names(self, count: int) -> list[str]:
        """Return the names of the next entries."""
        return [self.next()[0] for _ in range(count)]


@pytest.fixture
def journal() -> Journal:
    """Give an empty journal."""
    return Journal()


@pytest.fixture
def make() -> Iterator[Callable[..., Scheduler]]:
    """Give a maker of schedulers, which are stopped after the test."""
    with ExitStack() as stack:

        def made(max_threads: int = 1, watchdog: Watchdog | None = None) -> Scheduler:
            scheduler = Scheduler("tested", max_threads, watchdog)
            stack.callback(scheduler.stop)
            return scheduler

        yield made
    wait_until(lambda: not threads(), PATIENT, "the scheduler's threads do not end")


Make = Callable[..., Scheduler]


def threads() -> list[threading.Thread]:
    """Return the threads of the schedulers of this test."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("tested")]


class Gate:
    """A job that lasts until the test opens it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()

    def __call__(self) -> None:
        """Wait to be opened."""
        self.entered.set()
        assert self._open.wait(PATIENT)

    def open(self) -> None:
        """Let the job end."""
        self._open.set()


def test_jobs_run_once_in_the_order_of_their_due_moments(make: Make, journal: Journal) -> None:
    """No job runs before it is due; with one thread all run in the same one."""
    scheduler, now = make(), time.monotonic()
    scheduler.schedule_at(journal.job("late"), now + 0.4)
    scheduler.schedule_at(journal.job("early"), now + 0.2)
    early, late = journal.next(), journal.next()
    assert time.monotonic() >= now + 0.4
    assert (early[0], late[0]) == ("early", "late")
    assert early[1] is late[1]
    wait_until(lambda: scheduler.idle, PATIENT, "a job is left")
    assert journal.entries.empty()


def test_jobs_due_at_once_keep_their_order_and_one_may_go_first(make: Make, journal: Journal) -> None:
    """What was scheduled first runs first, but for what is scheduled before all others."""
    scheduler, gate = make(), Gate()
    scheduler.schedule(gate)
    assert gate.entered.wait(PATIENT)
    for name in "abc":
        scheduler.schedule(journal.job(name))
    scheduler.schedule_first(journal.job("first"))
    gate.open()
    assert journal.names(4) == ["first", "a", "b", "c"]


def test_job_may_schedule_itself_again(make: Make, journal: Journal) -> None:
    """A job that comes again schedules itself."""
    scheduler, left = make(), iter("321")

    def job() -> None:
        if number := next(left, ""):
            journal.job(number)()
            scheduler.schedule(job, 0.01)

    scheduler.schedule(job)
    assert journal.names(3) == ["3", "2", "1"]


def test_earlier_job_does_not_wait_for_a_later_one(make: Make, journal: Journal) -> None:
    """The thread that sleeps until the next job is woken for a job that is due before it."""
    scheduler = make()
    scheduler.schedule(journal.job("far"), FAR)
    scheduler.schedule(journal.job("near"))
    assert journal.next()[0] == "near"


def test_job_scheduled_again_is_moved(make: Make, journal: Journal) -> None:
    """A job is scheduled once at a time: the last moment counts."""
    scheduler, job = make(), journal.job("moved")
    scheduler.schedule(job, FAR)
    scheduler.schedule(job)
    assert journal.next()[0] == "moved"
    wait_until(lambda: scheduler.idle, PATIENT, "the job is still scheduled")


def test_removed_job_does_not_run(make: Make, journal: Journal) -> None:
    """A removed job does not run, whether it is removed once or twice, and may be scheduled again."""
    scheduler, job = make(), journal.job("removed")
    scheduler.schedule(job, 0.1)
    scheduler.remove(job)
    scheduler.remove(job)
    assert scheduler.idle
    scheduler.schedule(journal.job("marker"), 0.2)
    assert journal.next()[0] == "marker"
    scheduler.schedule(job)
    assert journal.next()[0] == "removed"


def test_stopped_scheduler_runs_nothing_more(make: Make, journal: Journal) -> None:
    """After stop() scheduled jobs are dropped, new ones are ignored, and the thread ends after the present job."""
    scheduler, gate = make(), Gate()
    scheduler.schedule(gate)
    assert gate.entered.wait(PATIENT)
    scheduler.schedule(journal.job("dropped"))
    scheduler.stop()
    scheduler.schedule(journal.job("ignored"))
    assert not scheduler.idle
    gate.open()
    wait_until(lambda: not threads(), PATIENT, "the thread does not end")
    assert scheduler.idle
    assert journal.entries.empty()


def test_slow_job_delays_no_other_while_there_are_threads(make: Make, journal: Journal) -> None:
    """Up to `max_threads` jobs run side by side, and no more; threads are started when they are needed."""
    scheduler, gates = make(max_threads=2), [Gate(), Gate()]
    scheduler.schedule(gates[0])
    assert gates[0].entered.wait(PATIENT)
    assert len(threads()) == 1
    scheduler.schedule(gates[1])
    assert gates[1].entered.wait(PATIENT)
    scheduler.schedule(journal.job("third"))
    assert len(threads()) == 2
    assert journal.entries.empty()
    gates[0].open()
    assert journal.next()[0] == "third"
    gates[1].open()


def test_defect_in_one_job_ends_no_other(make: Make, journal: Journal, expected_warnings: Callable[..., None]) -> None:
    """A job that raises is logged and does not run again; the others do."""
    expected_warnings("a job failed because of a defect in the agent")

    def fail() -> None:
        raise RuntimeError("a defect")

    scheduler = make()
    scheduler.schedule(fail)
    scheduler.schedule(journal.job("well"), 0.1)
    assert journal.next()[0] == "well"


def test_want_of_a_first_thread_is_an_error(make: Make, journal: Journal) -> None:
    """Where the system allows no thread at all, scheduling fails; later it works."""
    scheduler = make()
    with no_threads(), pytest.raises(ThreadLimitError, match="TasksMax"):
        scheduler.schedule(journal.job("lost"))
    scheduler.schedule(journal.job("later"))
    assert journal.next()[0] == "later"


def test_want_of_a_further_thread_is_none(make: Make, journal: Journal) -> None:
    """Where there is a thread already, it does the work alone."""
    scheduler, gate = make(max_threads=2), Gate()
    scheduler.schedule(gate)
    assert gate.entered.wait(PATIENT)
    with no_threads():
        scheduler.schedule(journal.job("behind"))
    gate.open()
    assert journal.next()[0] == "behind"


def test_job_that_hangs_is_overdue(make: Make, journal: Journal) -> None:
    """The watchdog is told by when a job has to be over; while there is nothing to do, nothing is expected."""
    watchdog, gate = HurriedWatchdog(), Gate()
    scheduler = make(watchdog=watchdog)
    scheduler.schedule(gate)
    assert gate.entered.wait(PATIENT)
    wait_until(lambda: watchdog.overdue() == ["tested"], PATIENT, "the watchdog does not notice")
    gate.open()
    scheduler.schedule(journal.job("on"))
    assert journal.next()[0] == "on"
    wait_until(lambda: watchdog.overdue() == [], PATIENT, "the thread is still expected")


class HurriedWatchdog(Watchdog):
    """A watchdog that allows no margin, so that a test need not wait for it."""

    def expect_within(self, name: str, within: float) -> None:
        """Expect the thread without the margin for loaded machines."""
        super().expect_within(name, within - watchdog_module.MARGIN_SECONDS)
