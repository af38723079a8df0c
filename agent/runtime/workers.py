"""A few threads for short jobs that ask the engine something, so that one slow answer holds up nobody else."""

import heapq
import logging
import threading
import time
from collections.abc import Callable
from itertools import count

log = logging.getLogger(__name__)

Job = Callable[[], None]

AHEAD = -1.0


class Workers:
    """Runs jobs in the order they fall due, several side by side.

    Daemon threads of our own and not a ThreadPoolExecutor: the interpreter waits for that one's threads when it exits,
    and one of ours may be waiting for a frozen engine.
    """

    def __init__(self, threads: int) -> None:
        self._jobs: list[tuple[float, int, Job]] = []  # a heap: when it is due, and its number
        self._numbers = count()
        self._changed = threading.Condition()
        self._open = 0
        self._stopped = False
        self._threads = [threading.Thread(target=self._run, name=f"worker-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def put(self, job: Job, after: float = 0) -> None:
        """Have a job done, in so many seconds, or `AHEAD` of all others; after stop() it is thrown away."""
        due = time.monotonic() + after if after > 0 else after  # what is due now keeps its order, and goes first
        with self._changed:
            if not self._stopped:
                heapq.heappush(self._jobs, (due, next(self._numbers), job))
                self._open += 1
                self._changed.notify()

    def stop(self) -> None:
        """Begin no more jobs. Those that are being done go on."""
        with self._changed:
            self._stopped = True
            self._open -= len(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether every job is done, those for later too."""
        with self._changed:
            return self._open == 0

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # the edge of the thread: a defect in one job must not take the worker with it
                log.exception("a job of the agent failed by a defect of the agent")
            with self._changed:
                self._open -= 1

    def _next(self) -> Job | None:
        """Wait for a job that is due; None after stop()."""
        with self._changed:
            while not self._stopped:
                early = self._jobs[0][0] - time.monotonic() if self._jobs else None
                if early is not None and early <= 0:
                    return heapq.heappop(self._jobs)[2]
                self._changed.wait(early)
            return None
