"""What is to be done for each container: one queue per container, retries with backoff.

    add() ──► queue of the container ──► process(container_id, event), on a worker
                ▲    ▲                      │
                │    └── defer(): the same event again, when other containers have left their topic levels
                └─────── retry(): the event again, after a backoff

The events of one container are processed in order, and never two at once. Events of different containers are processed
side by side.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from agent.engine.protocol import Event
from agent.runtime.retry import Backoff, BackoffPolicy
from agent.runtime.scheduler import Job, Scheduler

DIE_ACTIONS = frozenset({"die", "died"})  # Docker's word and Podman's
REMOVE_ACTIONS = frozenset({"destroy", "remove"})  # Docker's word and Podman's
MOVE_ACTIONS = REMOVE_ACTIONS | {"rename"}  # after which the container's topic level is free for another one

FIRST_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0

MAX_DEFER_SECONDS = 1.0
"""How long an event stays deferred at most while none of its blockers moves. The time starts anew with each move; to
process a move takes milliseconds."""


@dataclass(slots=True)
class _Queue:
    """The events of one container that are not processed yet. It exists only while there are any."""

    job: Job
    events: deque[Event | None] = field(default_factory=deque)  # None: inspect, there is no event
    running: bool = False  # the first event is being processed
    blockers: set[str] | None = None  # ids of containers that the first event waits for; None: it is not deferred
    deadline: float | None = None  # monotonic moment after which the first event is not deferred again


@dataclass(slots=True)
class _Retry:
    """The retries of one container. It exists from the first failure to the next success."""

    job: Job
    backoff: Backoff
    scheduled: bool = False
    event: Event | None = None


class WorkQueue:
    """Queues of events by container id, processed on the scheduler's threads.

    All fields are guarded by `lock`. It is the registry's, so that the supervisor can find out what a container has to
    wait for, and defer it, in one step. No method waits, and `process` is called without the lock.

    Args:
        scheduler: its threads are the workers.
        lock: reentrant.
        process: processes one event of a container. It may call `defer` and `retry`.
        on_idle: called, without the lock, whenever no container has an event left.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        lock: threading.RLock,
        process: Callable[[str, Event | None], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._lock = lock
        self._process = process
        self._on_idle = on_idle
        self._queues: dict[str, _Queue] = {}
        self._deferred: dict[str, _Queue] = {}  # the queues whose first event waits for other containers
        self._retries: dict[str, _Retry] = {}

    def add(self, container_id: str, event: Event | None) -> None:
        """Add an event to a container's queue; None: inspect the container without one.

        Raises:
            ThreadLimitError: there is no worker and none can be started; nothing was added.
        """
        with self._lock:
            queue = self._queues.get(container_id)
            if queue is None:
                queue = _Queue(partial(self._run, container_id))
                self._scheduler.schedule(queue.job)
                self._queues[container_id] = queue
            queue.events.append(event)

    def retry(self, container_id: str, event: Event | None) -> float | None:
        """Add an event again after the container's next backoff; None: inspect the container without one.

        A container has one retry at most. If one is scheduled already, `event` replaces the event of that retry, unless
        `event` is None.

        Returns:
            The seconds until then; None if a retry was scheduled already.
        """
        with self._lock:
            retry = self._retry_of(container_id)
            retry.event = event or retry.event
            if retry.scheduled:
                return None
            seconds = retry.backoff.next_wait()
            self._schedule_retry(retry, seconds)
            return seconds

    def inspect_later(self, container_id: str, seconds: float) -> None:
        """Have the container inspected in `seconds`. A retry that is scheduled already inspects it instead."""
        with self._lock:
            retry = self._retry_of(container_id)
            if not retry.scheduled:
                self._schedule_retry(retry, seconds)

    def reset_backoff(self, container_id: str) -> None:
        """Let the container's backoff start again with its shortest wait, because an inspection has succeeded."""
        with self._lock:
            retry = self._retries.get(container_id)
            if retry and retry.scheduled:
                retry.backoff.reset()
            elif retry:
                del self._retries[container_id]

    def forget(self, container_id: str) -> None:
        """Drop the retries of a container that was removed."""
        with self._lock:
            if retry := self._retries.pop(container_id, None):
                self._scheduler.remove(retry.job)

    def defer(self, container_id: str, blockers: set[str]) -> bool:
        """Process the present event of a container again, as soon as every blocker has moved.

        Only `process` may call this, and must hold the lock from finding the blockers until this returns. If the result
        is True, `process` must return without having changed anything.

        Returns:
            Whether the event is deferred. If not, process it now: no blocker has moved for MAX_DEFER_SECONDS.
        """
        with self._lock:
            queue, now = self._queues[container_id], time.monotonic()
            if queue.deadline is None:
                queue.deadline = now + MAX_DEFER_SECONDS
            if now >= queue.deadline:
                return False
            queue.blockers = blockers
            self._deferred[container_id] = queue
            return True

    def is_moving(self, container_id: str) -> bool:
        """Return whether an event that moves this container off its topic level is not processed yet."""
        with self._lock:
            queue = self._queues.get(container_id)
            return queue is not None and any(_is_move(event) for event in queue.events)

    @property
    def idle(self) -> bool:
        """Whether every event was processed. Retries may be scheduled."""
        with self._lock:
            return not self._queues

    def _run(self, container_id: str) -> None:
        """Process the first event of a container's queue, and schedule what follows."""
        with self._lock:
            queue = self._queues.get(container_id)
            if queue is None or queue.running:
                # Scheduled twice: it was unblocked at the same moment as its deadline. The first run did the work.
                return
            queue.running, queue.blockers = True, None
            self._deferred.pop(container_id, None)
            event = queue.events[0]
        try:
            self._process(container_id, event)
        finally:  # also after a defect: the container's later events must still be processed
            with self._lock:
                queue.running = False
                if queue.blockers is None:
                    self._finish(container_id, queue)
                else:
                    self._schedule_deferred(queue)
                idle = not self._queues
        if idle:
            self._on_idle()

    def _finish(self, container_id: str, queue: _Queue) -> None:
        event = queue.events.popleft()
        queue.deadline = None
        if queue.events:  # first in line: other containers may be deferred until this one has moved
            self._scheduler.schedule_first(queue.job)
        else:
            del self._queues[container_id]
        if _is_move(event) and not self.is_moving(container_id):
            self._unblock(container_id)

    def _unblock(self, moved_id: str) -> None:
        """Take this container from the blockers of each deferred event; process those that have none left."""
        for queue in list(self._deferred.values()):
            if queue.blockers and moved_id in queue.blockers:
                queue.blockers.remove(moved_id)
                # Twenty containers that have had one name in turn wait for each other: none may give up while the
                # others move, or they would be published in another order.
                queue.deadline = time.monotonic() + MAX_DEFER_SECONDS
                if not queue.running:
                    self._schedule_deferred(queue)

    def _schedule_deferred(self, queue: _Queue) -> None:
        if queue.blockers and queue.deadline is not None:
            self._scheduler.schedule_at(queue.job, queue.deadline)
        else:
            self._scheduler.schedule_first(queue.job)

    def _retry_of(self, container_id: str) -> _Retry:
        if container_id not in self._retries:
            backoff = Backoff(BackoffPolicy(FIRST_RETRY_SECONDS, 2.0, MAX_RETRY_SECONDS))
            self._retries[container_id] = _Retry(partial(self._run_retry, container_id), backoff)
        return self._retries[container_id]

    def _schedule_retry(self, retry: _Retry, seconds: float) -> None:
        self._scheduler.schedule(retry.job, seconds)
        retry.scheduled = True

    def _run_retry(self, container_id: str) -> None:
        with self._lock:
            if retry := self._retries.get(container_id):  # else the container was removed at the last moment
                event, retry.event, retry.scheduled = retry.event, None, False
                self.add(container_id, event)


def _is_move(event: Event | None) -> bool:
    return event is not None and event.action in MOVE_ACTIONS
