"""Timed jobs on a few threads.

One thread for a hundred containers wakes up once, where a hundred threads would wake up a hundred times. And it needs
the memory of one stack only.
"""

import heapq
import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from math import inf

from agent.runtime.limits import ThreadLimitError, start_thread
from agent.runtime.watchdog import MARGIN_SECONDS, Watchdog

log = logging.getLogger(__name__)

Job = Callable[[], None]
"""Does what is due. It may schedule itself again."""


class Scheduler:
    """Runs each job once, when it is due, on at most `max_threads` threads. Every method may be called from any thread.

    Jobs that are due at the same moment run in the order in which they were scheduled. A job that is scheduled again
    before it ran is moved to the new moment.

    The threads are daemon threads, and not those of a ThreadPoolExecutor. The interpreter waits for an executor's
    threads when it exits, and a thread may be waiting for a frozen engine. Threads are started when there is work for
    one more, and end with `stop()`.

    With a `watchdog` (default None: without one) each thread says by when its present job has to be over, and how long
    it will sleep at most.
    """

    def __init__(self, name: str, max_threads: int = 1, watchdog: Watchdog | None = None) -> None:
        self._name = name
        self._max_threads = max_threads
        self._watchdog = watchdog
        self._lock = threading.Lock()  # guards all that follows; taken directly, which costs less than the condition
        self._changed = threading.Condition(self._lock)
        self._heap: list[tuple[float, int, Job]] = []  # due moment, number, job; outdated entries are skipped
        self._numbers: dict[Job, int] = {}  # the number of each job's valid heap entry; all others are outdated
        self._counter = count()
        self._threads = 0
        self._idle_threads = 0  # threads that run no job
        self._stopped = False

    def schedule(self, job: Job, delay: float = 0.0) -> None:
        """Run a job in `delay` seconds.

        Raises:
            ThreadLimitError: there is no thread and none can be started; the job is not scheduled.
        """
        self.schedule_at(job, time.monotonic() + delay)

    def schedule_first(self, job: Job) -> None:
        """Run a job now, before all others that are due. Raises ThreadLimitError as `schedule` does."""
        self.schedule_at(job, -inf)

    def schedule_at(self, job: Job, due: float) -> None:
        """Run a job at the monotonic moment `due`. Raises ThreadLimitError as `schedule` does."""
        with self._lock:
            if self._stopped:
                return
            if self._threads < self._max_threads and len(self._numbers) >= self._idle_threads:
                self._start_thread()
            number = next(self._counter)
            self._numbers[job] = number
            heapq.heappush(self._heap, (due, number, job))
            if self._idle_threads:
                self._changed.notify()

    def remove(self, job: Job) -> None:
        """Do not run a job that is scheduled. A job that is running is not ended."""
        with self._lock:
            self._numbers.pop(job, None)

    def stop(self) -> None:
        """Run no more jobs. Jobs that are running are not ended; the threads end after them."""
        with self._lock:
            self._stopped = True
            self._heap.clear()
            self._numbers.clear()
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether no job is scheduled, for now or for later, and none runs."""
        with self._lock:
            return not self._numbers and self._idle_threads == self._threads

    def _start_thread(self) -> None:
        name = self._name if self._max_threads == 1 else f"{self._name}-{self._threads}"
        try:
            start_thread(threading.Thread(target=self._run, name=name, daemon=True))
        except ThreadLimitError:
            if self._threads == 0:
                raise
        else:
            self._threads += 1
            self._idle_threads += 1

    def _run(self) -> None:
        name = threading.current_thread().name
        job: Job | None = None
        while (job := self._next_job(name, after=job)) is not None:
            try:
                job()
            except Exception:  # the edge of the thread: a defect in one job must not end the others
                log.exception("a job failed because of a defect in the agent")
        if self._watchdog:
            self._watchdog.clear(name)

    def _next_job(self, thread_name: str, after: Job | None) -> Job | None:
        """Wait for a job that is due, after another one that is over. Return None after `stop()`."""
        with self._lock:
            if after is not None:
                self._idle_threads += 1
            while not self._stopped:
                self._skip_outdated()
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if self._watchdog:
                    self._expect(thread_name, wait)
                if wait is not None and wait <= 0:
                    job = heapq.heappop(self._heap)[2]
                    del self._numbers[job]
                    self._idle_threads -= 1
                    if self._heap and self._idle_threads:
                        self._changed.notify()  # another thread waits for the next job while this one runs
                    return job
                self._changed.wait(wait)
            self._threads -= 1
            self._idle_threads -= 1
            return None

    def _skip_outdated(self) -> None:
        while self._heap and self._numbers.get(self._heap[0][2]) != self._heap[0][1]:
            heapq.heappop(self._heap)

    def _expect(self, thread_name: str, wait: float | None) -> None:
        assert self._watchdog  # noqa: S101  # the caller looked
        if wait is None:
            self._watchdog.clear(thread_name)
        else:
            self._watchdog.expect_within(thread_name, max(wait, 0.0) + MARGIN_SECONDS)
