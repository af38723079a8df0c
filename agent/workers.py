"""A few threads for short jobs that ask the engine something, so that one slow answer holds up nobody else."""

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

Job = Callable[[], None]


class Workers:
    """Runs jobs in the order they came, several side by side.

    Daemon threads of our own and not a ThreadPoolExecutor: the interpreter waits for that one's threads when it exits,
    and one of ours may be waiting for a frozen engine.
    """

    def __init__(self, count: int) -> None:
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._open = 0
        self._stopped = False
        self._threads = [threading.Thread(target=self._run, name=f"worker-{n}", daemon=True) for n in range(count)]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Have a job done; after stop() it is thrown away."""
        with self._changed:
            if not self._stopped:
                self._jobs.append(job)
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
        """Whether every job is done."""
        with self._changed:
            return self._open == 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._stopped)
                if self._stopped:
                    return
                job = self._jobs.popleft()
            try:
                job()
            except Exception:  # the edge of the thread: a defect in one job must not take the worker with it
                log.exception("a job of the agent failed by a defect of the agent")
            with self._changed:
                self._open -= 1
