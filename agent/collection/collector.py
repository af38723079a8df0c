"""One container, from readings to usages. Start reading here.

    Source.open() ──► Reader ── read() ──► Reading ── compute_usage(previous, reading) ──► publish(measurements)

A collector reads until it is stopped. The engine's readings have to be waited for: the collector reads them in a thread
of its own. The kernel's files can be read at once: the scheduler calls `_tick` when a reading is due, on one thread for
all containers. When its reader changes from the one kind to the other, the collector moves to the other thread.

Except at its `usage_limit` (`--once`), a collector never ends by itself. When readings fail it waits and tries again.
It asks for an inspection if the container may have ended, or if it may run without usages ("silent"). Only the
supervisor stops a collector: when the container has ended, was removed or excluded, or when the agent ends.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from agent.collection.context import CollectorContext
from agent.collection.silence import SilenceDetector
from agent.collection.source import Reader, ReadingsEndedError
from agent.collection.usages import UsageCalculator
from agent.engine.errors import EngineError, NoSuchContainerError
from agent.kernel.run import ContainerRun
from agent.messages.payloads import Measurements
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.limits import LimitError, ThreadLimitError, start_thread
from agent.runtime.retry import Backoff, retrying
from agent.runtime.watchdog import MARGIN_SECONDS

log = logging.getLogger(__name__)

FAILURES = (EngineError, ReadingError, LimitError)  # after which readings are tried again


class Collector:
    """Collects the usages of one container and gives each to `publish`.

    It calls `request_inspect` when the container may have ended, when it may be silent, and when a silence has ended.
    If the inspection shows that the container runs, the supervisor calls `check_silence`.

    Neither `publish` nor `request_inspect` may block. `own_interval`: seconds; None for the interval of the context.
    """

    def __init__(
        self,
        name: str,
        container_id: str,
        context: CollectorContext,
        publish: Callable[[Measurements], None],
        request_inspect: Callable[[], None],
        own_interval: float | None = None,
    ) -> None:
        self._name = name
        self._container_id = container_id
        self._context = context
        self._publish = publish
        self._request_inspect = request_inspect
        self._own_interval = own_interval
        self._interval = own_interval or context.interval
        self._cancel = CancelToken()
        self._backoff = Backoff(context.backoff)

        # Held while a reading is processed, and while the collector changes threads. So stop(), which takes the lock,
        # returns after the last usage. A blocking read does not hold it.
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        self.kernel_run: ContainerRun | None = None  # of the last reader of files; kept when the files are closed
        self._scheduled = False  # the scheduler reads; else the collector's own thread, while it is alive
        self._calculator = UsageCalculator(context.core_mhz, context.warn_once)
        self._usages = 0
        self._last_failure: type[BaseException] | None = None  # what readings last failed with, until one succeeds
        self._silence = SilenceDetector()
        self._silence_level = logging.WARNING  # at which a silence is logged, and its end; set by check_silence()
        self._silence_ended = False  # a usage has ended a silence, and no inspection was requested since

    def start(self) -> None:
        """Begin to collect, in a new thread. Raises ThreadLimitError if the system allows no more threads."""
        self._thread = threading.Thread(target=self._run, name=f"collector-{self._container_id[:12]}", daemon=True)
        start_thread(self._thread)

    def stop(self) -> None:
        """Stop collecting. After this returns no usage is published; the thread may take a moment longer to end."""
        with self._lock:
            self._cancel.set()
            if self._scheduled:
                self._context.scheduler.remove(self._tick)
                self._scheduled = False
                self._close()

    @property
    def finished(self) -> bool:
        """Whether no more usages will come: the collector was stopped, or has reached its `usage_limit`."""
        with self._lock:
            return not self._scheduled and not self._thread.is_alive()

    def retry_if_failed_with(self, failure: type[Exception]) -> None:
        """Try again now if the last attempt failed with this kind of error."""
        if self._last_failure is not None and issubclass(self._last_failure, failure):
            self._cancel.wake()

    def retry_now(self) -> None:
        """Try again now, because the engine was away and is back. Earlier failures count no more."""
        self._silence.note_engine_back()
        self._cancel.wake()

    def update_interval(self) -> None:
        """Use the interval that the context has now. The next usage covers the time since the last one."""
        interval = self._own_interval or self._context.interval
        with self._lock:
            if interval == self._interval:
                return
            self._interval = interval
            if self._scheduled and self._reader:
                self._reader.set_interval(self._interval)
                self._context.scheduler.schedule_at(self._tick, self._reader.schedule.begin)
            elif self._reader:  # else the thread is opening a reader, or waits for its next attempt
                self._cancel.wake()

    def check_silence(self) -> str | None:
        """Return why the container is silent, None if it is not. Call this when the engine says that it runs."""
        cause, is_new = self._silence.confirm_running()
        if is_new:
            is_limit = self._last_failure is not None and issubclass(self._last_failure, LimitError)  # logged for all
            self._silence_level = logging.DEBUG if is_limit else logging.WARNING
            log.log(self._silence_level, "no readings of %s: %s; the engine says that it runs", self._name, cause)
        return cause

    # In the collector's own thread

    def _run(self) -> None:
        try:
            retrying(self._backoff, self._cancel, FAILURES, self._on_wait)(self._read_while_blocking)
        except CancelledError:
            self._close()
        except Exception:  # the edge of the thread: a defect must be seen, and must not look like a quiet container
            log.exception("collector of %s ended because of a defect of the agent", self._name)
        finally:
            self._context.watchdog.clear(self._thread.name)

    def _read_while_blocking(self) -> None:
        """Read as long as the reader is `blocking`; then hand over to the scheduler."""
        self._context.expect_reading(self._thread.name, self._interval)
        if self._reader is None:
            self._reader = self._context.source.open(self._container_id, self._interval, self._cancel)
        with ExitStack() as stack:
            stack.callback(self._close)  # unless the scheduler takes over the reader
            while True:
                self._reader.set_interval(self._interval)
                self._context.expect_reading(self._thread.name, self._interval)
                reading = self._reader.read()
                with self._lock:
                    if reading:
                        self._process(reading)
                    scheduled = not self._reader.blocking
                    if scheduled:
                        self._continue_in_scheduler(self._reader)
                        stack.pop_all()
                self._report_end_of_silence()
                if scheduled:
                    return

    def _continue_in_scheduler(self, reader: Reader) -> None:
        if self._cancel.is_set():
            raise CancelledError
        reader.set_interval(self._interval)
        self._context.scheduler.schedule_at(self._tick, reader.schedule.begin)  # at once, if this moment has passed
        self._scheduled = True

    def _on_wait(self, error: BaseException, seconds: float) -> None:
        self._context.engine.count_retry()
        self._context.watchdog.expect_within(self._thread.name, seconds + MARGIN_SECONDS)
        self._last_failure = type(error)
        log.debug("no readings of %s: %s; next try in %.0f s", self._name, error, seconds)
        if isinstance(error, LimitError):
            self._context.warn_once.warn(str(error))
        must_ask, run = self._silence.note_failure(str(error)), self.kernel_run
        if isinstance(error, (ContainerNotRunningError, NoSuchContainerError, ReadingsEndedError)):
            self._request_inspect()  # most often the container has ended, and the inspection will show it
        elif must_ask and (self._context.engine_answers() or (run and run.has_processes() is False)):
            self._request_inspect()  # if it runs, the inspection leads to `check_silence`, which reports the cause

    # On the scheduler's thread

    def _tick(self) -> None:
        """Take the reading that is due, without waiting. If there is none, continue in a thread."""
        with self._lock:
            if not self._scheduled or self._reader is None:
                return  # stopped at the last moment
            try:
                reading = self._reader.read(wait=False)
            except FAILURES:
                reading = None  # the thread will meet the same failure, and may wait
            if reading:
                self._process(reading)
            if self._cancel.is_set():
                self._scheduled = False
                self._close()
                return
            if not reading and self._try_continue_in_thread():
                return
            self._context.scheduler.schedule_at(self._tick, self._reader.schedule.next_after(time.monotonic()))
        self._report_end_of_silence()

    def _try_continue_in_thread(self) -> bool:
        """Start a thread that continues to read. Return False if the system allows none now."""
        try:
            self.start()
        except ThreadLimitError as error:
            self._context.warn_once.warn(str(error))
            return False
        self._scheduled = False
        return True

    # On either thread, with the lock held

    def _process(self, reading: Reading) -> None:
        """Publish the usage between the last reading and this one, if it is known."""
        measurements = self._calculator.add(reading)
        if self._cancel.is_set() or measurements is None:
            return
        self._note_success()
        self._publish(measurements)
        self._usages += 1
        if self._usages == self._context.usage_limit:
            self._cancel.set()

    def _note_success(self) -> None:
        self._backoff.reset()
        self._last_failure = None
        if self._silence.note_usage():
            log.log(min(self._silence_level, logging.INFO), "readings of %s are back", self._name)
            self._silence_ended = True

    def _report_end_of_silence(self) -> None:
        """Request an inspection after a silence: it removes the trouble from the status. Called without the lock."""
        if self._silence_ended:
            self._silence_ended = False
            self._request_inspect()

    def _close(self) -> None:
        if self._reader:
            self.kernel_run = self._reader.kernel_run or self.kernel_run
            self._reader.close()
            self._reader = None
