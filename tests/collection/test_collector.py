"""A collector by itself: in its thread, on the scheduler, between the two, and what it leaves behind."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest
from support.daemons.no_threads import no_threads
from support.daemons.processes import PATIENCE, slack, wait_until
from support.fakes.local_machine import LocalMachine

from agent.collection.collector import Collector
from agent.collection.context import CollectorContext
from agent.messages.payloads import Measurements
from agent.runtime.logs import WarnOnce
from agent.runtime.retry import BackoffPolicy
from agent.runtime.scheduler import Scheduler
from agent.runtime.watchdog import Watchdog

ExpectWarnings = Callable[..., None]


class RunningCollector:
    """A collector, and what it has published."""

    def __init__(self, machine: LocalMachine, interval: float, limit: int | None, engine_answers: bool) -> None:
        self.usages: SimpleQueue[Measurements] = SimpleQueue()
        self.inspections: SimpleQueue[None] = SimpleQueue()
        watchdog, self.backoff = Watchdog(), BackoffPolicy(0.1, 1, 0.1)
        self.scheduler = Scheduler("readings", watchdog=watchdog)
        self.source = machine.fallback_source()
        self.common = CollectorContext(
            machine.client,
            self.source,
            interval,
            5,
            self.backoff,
            None,
            watchdog,
            self.scheduler,
            limit,
            WarnOnce(),
            lambda: engine_answers,
        )
        name, key = machine.container.name, machine.container.id
        self.collector = Collector(name, key, self.common, self.usages.put, lambda: self.inspections.put(None))
        self.collector.start()

    def change_interval(self, interval: float) -> None:
        """Change the interval of all collectors."""
        self.common.interval = interval
        self.collector.update_interval()

    def next(self) -> Measurements:
        """Return the next usage."""
        return self.usages.get(timeout=PATIENCE)

    def until(self, kernel: bool) -> None:
        """Wait for a usage from the kernel, which alone reports swap, or from the engine."""
        while ("swap" in self.next()["memory"]) is not kernel:
            pass


@contextmanager
def collected(
    machine: LocalMachine, interval: float, limit: int | None = None, engine_answers: bool = True
) -> Iterator[RunningCollector]:
    """Run a collector for the machine's container; it ends after the block."""
    one = RunningCollector(machine, interval, limit, engine_answers)
    try:
        yield one
    finally:
        one.collector.stop()
    wait_until(lambda: one.collector.finished, PATIENCE, "the collector does not end")
    assert one.scheduler.idle
    one.scheduler.stop()


def own_threads() -> list[str]:
    """Return the collectors' own threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("collector-")]


@pytest.mark.slow
def test_kernel_files_are_read_without_a_thread_of_the_collectors_own(machine: LocalMachine) -> None:
    """The scheduler reads the kernel's files at the moments of their schedule, and the first usage comes soon."""
    begun = time.monotonic()
    with collected(machine, 2) as one:
        one.next()
        assert time.monotonic() - begun < 4 + slack()
        assert own_threads() == []
        assert one.next()["interval"] == pytest.approx(2, abs=1)
        assert not one.collector.finished


def cgroup_files(machine: LocalMachine) -> list[str]:
    """Return the files of cgroups that are open."""
    opened = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    return [path for path in opened if path.startswith(str(machine.tree.cgroups))]


def test_stopped_between_two_readings(machine: LocalMachine) -> None:
    """However long the interval, after stop() no file is open, no thread is left, and nothing is published."""
    with collected(machine, 3600) as one:
        one.next()
        assert cgroup_files(machine) != []
    assert cgroup_files(machine) == []
    assert own_threads() == []
    assert one.usages.empty()


def test_failing_files_are_replaced_by_the_engine_and_come_back(
    machine: LocalMachine, expected_warnings: ExpectWarnings
) -> None:
    """A thread goes on with the engine's readings until the files can be read again; no inspection is needed."""
    expected_warnings("the kernel's files of .* are not used, but source stream: .*many")
    with collected(machine, 0.5) as one:
        one.until(kernel=True)
        machine.tree.change({"memory.current": "many\n"})
        one.until(kernel=False)
        assert len(own_threads()) == 1
        machine.show_engine_values()
        one.until(kernel=True)
        wait_until(lambda: own_threads() == [], PATIENCE, "the thread goes on")
    assert one.inspections.empty()


def test_without_a_thread_for_the_engine_the_files_are_tried_again(
    machine: LocalMachine, expected_warnings: ExpectWarnings, caplog: pytest.LogCaptureFixture
) -> None:
    """If files fail and the system allows no thread, that is logged once, and the files are tried again."""
    expected_warnings("the kernel's files of .* are not used", "the system allows no more threads")
    with collected(machine, 0.5) as one:
        one.until(kernel=True)
        with no_threads():
            machine.tree.change({"memory.current": "many\n"})
            wait_until(lambda: "no more threads" in caplog.text, PATIENCE, "the missing thread is not logged")
            machine.show_engine_values()
            one.until(kernel=True)
            one.next()
            assert own_threads() == []
            machine.tree.change({"memory.current": "many\n"})
        one.until(kernel=False)


def test_empty_cgroup_requests_an_inspection(machine: LocalMachine) -> None:
    """When no process is left in the cgroup, an inspection is requested, and the attempts go on."""
    with collected(machine, 0.5) as one:
        one.until(kernel=True)
        machine.tree.change({"pids.current": "0\n"})
        one.inspections.get(timeout=PATIENCE)
        machine.tree.change({"pids.current": "2\n"})
        one.until(kernel=True)


def test_end_behind_unreadable_files_and_an_engine_that_is_away(
    machine: LocalMachine, expected_warnings: ExpectWarnings
) -> None:
    """The run that was read before has ended, the kernel says: that is worth an inspection without an engine, too."""
    expected_warnings("the kernel's files of .* are not used, but source stream: .*many")
    machine.tree.process({"stat": "4242 (sh) S 7 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 1234 4096 1\n"})
    with collected(machine, 0.5, engine_answers=False) as one:
        one.until(kernel=True)
        machine.tree.change({"memory.current": "many\n"})
        one.until(kernel=False)
        machine.fake.stop()
        shutil.rmtree(machine.tree.proc / str(machine.tree.pid))
        machine.tree.change({"pids.current": "0\n"})
        one.inspections.get(timeout=PATIENCE)


@pytest.mark.parametrize("interval", [0.5, 3600])
def test_usage_limit_ends_the_collector(machine: LocalMachine, interval: float) -> None:
    """A collector with a limit ends by itself after so many usages, also between two readings."""
    with collected(machine, interval, limit=1) as one:
        one.next()
        wait_until(lambda: one.collector.finished, PATIENCE, "it does not end")
    assert one.usages.empty()


@pytest.mark.parametrize("begin", [0.5, 3600])
def test_interval_changes_between_two_readings_of_files(machine: LocalMachine, begin: float) -> None:
    """The next reading does not wait for the old interval; no call to the engine is made, and no thread started."""
    with collected(machine, begin) as one:
        one.next()
        requests = machine.request_count()
        one.change_interval(3600)
        one.change_interval(0.5)
        assert [one.next()["interval"] > 0 for _ in range(3)]
        assert machine.request_count() == requests
        assert own_threads() == []
        one.change_interval(3600)
        while not one.usages.empty():
            one.next()
        with pytest.raises(Empty):
            one.usages.get(timeout=1.5)


def test_interval_changes_while_the_engine_is_asked(machine: LocalMachine, expected_warnings: ExpectWarnings) -> None:
    """The thread leaves its wait, changes between stream and poll, and returns to the files when they are back."""
    expected_warnings("the kernel's files of .* are not used, but source stream: .*many")
    with collected(machine, 0.5) as one:
        one.until(kernel=True)
        machine.tree.change({"memory.current": "many\n"})
        one.until(kernel=False)
        one.change_interval(3600)  # a poll, at which no attempt to read the files is due for an hour
        while not one.usages.empty():
            one.next()
        one.change_interval(0.5)
        one.until(kernel=False)
        machine.show_engine_values()
        one.until(kernel=True)


def test_wait_for_the_next_attempt_ends_with_another_backoff(
    machine: LocalMachine, expected_warnings: ExpectWarnings
) -> None:
    """An attempt that would have been made an hour later is made now."""
    expected_warnings("no readings of web")
    with collected(machine, 0.5) as one:
        one.next()
        one.backoff.change(3600, 1, 3600)
        machine.tree.change({"pids.current": "0\n"})
        one.inspections.get(timeout=PATIENCE)
        machine.tree.change({"pids.current": "2\n"})
        while not one.usages.empty():
            one.next()
        one.backoff.change(0.1, 1, 0.1)
        one.collector.retry_if_failed_with(Exception)
        one.next()
