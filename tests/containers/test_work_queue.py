"""Events of one container are processed in order and never two at once; retries, and waiting for other containers."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import ExpectWarnings
from support.daemons.processes import wait_until

from agent.containers.work_queue import MAX_DEFER_SECONDS, WorkQueue
from agent.engine.protocol import Event
from agent.runtime.scheduler import Scheduler

Process = Callable[[str, Event | None], None]


def event(action: str, container_id: str = "a", number: int = 0) -> Event:
    return Event(number, action, "", container_id, "", {})


class QueueHarness:
    """A work queue whose events are processed by `process`, and recorded when that has returned."""

    def __init__(self, process: Process = lambda _id, _event: None) -> None:
        self.process = process
        self.lock = threading.RLock()
        self.processed: list[tuple[str, Event | None]] = []
        self.idle_calls = 0
        self.scheduler = Scheduler("worker", max_threads=4)
        self.queue = WorkQueue(self.scheduler, self.lock, self._process, self._on_idle)

    def wait_for_processed(self, count: int) -> None:
        """Wait until so many events were processed, successfully or not."""
        wait_until(lambda: len(self.processed) >= count, 20, f"processed: {self.processed}")

    def wait_for_idle(self) -> None:
        """Wait until every event was processed."""
        wait_until(lambda: self.queue.idle, 20, f"processed: {self.processed}")

    def _process(self, container_id: str, happened: Event | None) -> None:
        try:
            self.process(container_id, happened)
        finally:
            self.processed.append((container_id, happened))

    def _on_idle(self) -> None:
        self.idle_calls += 1


@pytest.fixture
def harness() -> Iterator[QueueHarness]:
    """Provide a work queue on four workers."""
    harness = QueueHarness()
    yield harness
    harness.scheduler.stop()


def test_events_of_one_container_are_processed_in_order(harness: QueueHarness) -> None:
    """Each container's events are processed in the order in which they were added."""
    for number in range(50):
        for container_id in "abc":
            harness.queue.add(container_id, event("start", container_id, number))
    harness.wait_for_processed(150)
    for container_id in "abc":
        numbers = [happened.time for found, happened in harness.processed if found == container_id and happened]
        assert numbers == list(range(50))


def test_slow_event_delays_only_its_own_container(harness: QueueHarness) -> None:
    """While an event is processed no other of its container is, but those of other containers are."""
    answer = threading.Event()
    harness.process = lambda _id, happened: None if happened else _wait(answer)
    harness.queue.add("a", None)
    harness.queue.add("a", event("start"))
    for number in range(10):
        harness.queue.add("b", event("start", "b", number))
    harness.wait_for_processed(10)
    assert {container_id for container_id, _ in harness.processed} == {"b"}
    answer.set()
    harness.wait_for_processed(12)
    assert harness.processed[-2:] == [("a", None), ("a", event("start"))]


def test_events_are_processed_after_a_defect(harness: QueueHarness, expected_warnings: ExpectWarnings) -> None:
    """An exception in the processing of one event does not keep the container's later events back."""
    expected_warnings("a defect in the agent")

    def process(_id: str, happened: Event | None) -> None:
        if happened is None:
            raise RuntimeError

    harness.process = process
    harness.queue.add("a", None)
    harness.queue.add("a", event("start"))
    harness.wait_for_processed(2)
    harness.wait_for_idle()


def test_on_idle_is_called_when_every_event_was_processed(harness: QueueHarness) -> None:
    """It is called after the last event of all containers, and not while one of them has more."""
    answer = threading.Event()
    harness.process = lambda container_id, _event: None if container_id == "b" else _wait(answer)
    harness.queue.add("a", None)
    harness.queue.add("b", None)
    harness.wait_for_processed(1)
    assert harness.idle_calls == 0
    answer.set()
    wait_until(lambda: harness.idle_calls == 1, 20, "the queue does not become idle")


def test_retry_is_scheduled_once_and_has_the_newest_event(harness: QueueHarness) -> None:
    """A second retry is not scheduled while there is one; the removal that it is given is not lost."""
    removal = event("destroy")
    first = harness.queue.retry("a", None)
    assert first is not None
    assert 1.0 <= first <= 1.1
    assert harness.queue.retry("a", removal) is None
    assert harness.queue.retry("a", None) is None
    harness.wait_for_processed(1)
    assert harness.processed == [("a", removal)]


@pytest.mark.slow
def test_retries_back_off_until_a_success(harness: QueueHarness) -> None:
    """The waits double, and start again after `reset_backoff`."""
    waits: list[float | None] = []

    def process(_id: str, _event: Event | None) -> None:
        if len(waits) == 2:
            harness.queue.reset_backoff("a")
        if len(waits) < 3:
            waits.append(harness.queue.retry("a", None))

    harness.process = process
    harness.queue.add("a", None)
    harness.wait_for_processed(4)
    assert [round(wait or 0) for wait in waits] == [1, 2, 1]


def test_removed_container_is_not_retried(harness: QueueHarness) -> None:
    """`forget` drops a scheduled retry."""
    harness.queue.retry("a", None)
    assert not harness.scheduler.idle
    harness.queue.forget("a")
    assert harness.scheduler.idle


def test_deferred_event_is_processed_when_its_blockers_have_moved(harness: QueueHarness) -> None:
    """An event that waits for two removals is processed again after both, and long before its time is up."""
    answer = threading.Event()
    attempts: list[set[str]] = []

    def process(container_id: str, _event: Event | None) -> None:
        if container_id == "new":
            with harness.lock:
                blockers = {name for name in ("old", "older") if harness.queue.is_moving(name)}
                attempts.append(blockers)
                if blockers:
                    assert harness.queue.defer(container_id, set(blockers))
        else:
            _wait(answer)

    harness.process = process
    harness.queue.add("old", event("destroy", "old"))
    harness.queue.add("older", event("rename", "older"))
    harness.queue.add("new", None)
    harness.wait_for_processed(1)
    assert not harness.queue.idle
    started = time.monotonic()
    answer.set()
    harness.wait_for_idle()
    assert attempts == [{"old", "older"}, set()]
    assert time.monotonic() - started < MAX_DEFER_SECONDS


def test_event_is_deferred_for_a_limited_time(harness: QueueHarness) -> None:
    """An event whose blockers do not move is processed after MAX_DEFER_SECONDS, and before the container's next one."""
    answers: list[bool] = []

    def process(container_id: str, happened: Event | None) -> None:
        if happened is None:
            with harness.lock:
                answers.append(harness.queue.defer(container_id, {"never moves"}))

    harness.process = process
    started = time.monotonic()
    harness.queue.add("a", None)
    harness.queue.add("a", event("start"))
    harness.wait_for_idle()
    assert answers == [True, False]
    assert time.monotonic() - started >= MAX_DEFER_SECONDS
    assert harness.processed[-1] == ("a", event("start"))


def test_waiting_container_occupies_no_worker(harness: QueueHarness) -> None:
    """More containers than there are workers wait for one removal, which is processed nevertheless."""

    def process(container_id: str, _event: Event | None) -> None:
        with harness.lock:
            if container_id != "old" and harness.queue.is_moving("old"):
                harness.queue.defer(container_id, {"old"})

    harness.process = process
    started = time.monotonic()
    with harness.lock:  # so that the others are queued before the removal is processed
        for number in range(20):
            harness.queue.add(f"new-{number}", None)
        harness.queue.add("old", event("destroy", "old"))
    harness.wait_for_idle()
    assert time.monotonic() - started < MAX_DEFER_SECONDS


def _wait(answer: threading.Event) -> None:
    assert answer.wait(20)
