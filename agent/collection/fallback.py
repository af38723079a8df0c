"""The source `auto`: the cheapest one that is sure to be right, for each container."""

import logging
import time
from collections.abc import Callable
from threading import Lock

from agent.collection.engine_source import CheaperSource, EngineReader
from agent.collection.kernel_source import KernelSource, VerifiedFiles
from agent.collection.schedule import Schedule
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError, EngineUnreachableError, NoSuchContainerError
from agent.kernel.files import KernelUnreadableError
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.cancel import CancelToken
from agent.runtime.limits import LimitError
from agent.runtime.retry import Backoff, BackoffPolicy

log = logging.getLogger(__name__)

# The waits before a container's files are tried again: 1, 4, 16, 60, 60 … minutes.
FIRST_RETRY_SECONDS = 60.0
RETRY_FACTOR = 4
MAX_RETRY_SECONDS = 3600.0


class FallbackSource:
    """Reads the kernel's files of every container for which they are verified, and asks the engine for all others.

    All intervals are in seconds. The methods of `source.Source` are documented there.

    Attributes:
        engine_source: asks the engine.
        trouble: the latest reason for which a container's files were not used; None if there was none so far.
    """

    def __init__(
        self,
        engine: EngineClient,
        interval: float,
        kernel: KernelSource | None,
        on_change: Callable[[], None] = lambda: None,
        first_retry: float = FIRST_RETRY_SECONDS,
    ) -> None:
        self.engine_source = CheaperSource(engine)
        self._interval = interval  # of a container without an interval of its own: `name` is its source
        self._kernel = kernel
        self._on_change = on_change
        self._first_retry = first_retry
        self._lock = Lock()  # guards what follows; nothing is called while it is held
        self._kernel_works = False  # then `name` is kernel: files were verified, and no failure has counted since
        self._kernel_readers = 0  # containers whose files are read now; while there are any, no failure counts
        self.trouble: str | None = None

    @property
    def name(self) -> str:
        """The source in use: `kernel` once the files of a container were verified, else `poll` or `stream`.

        Then it stays `kernel` until a container's files fail while no other container's files are read.
        """
        return "kernel" if self._kernel_works else self.engine_source.choose(self._interval).name

    @property
    def name_is_settled(self) -> bool:
        """Whether `name` says which source is used: the files of a container were tried, or never will be."""
        return self._kernel is None or self._kernel_works or self.trouble is not None

    def open(self, container_id: str, interval: float, cancel: CancelToken) -> "FallbackReader":
        """Return a reader that starts with the kernel's files if they can be verified now, else with the engine.

        The reader may change between the two later. Raises as `source.Source.open` does.
        """
        return FallbackReader(self, container_id, interval, cancel)

    def open_files(self, container_id: str, interval: float, cancel: CancelToken) -> VerifiedFiles | None:
        """Open and verify a container's files; return None if that is not possible.

        If the engine fails, None is returned, because it may still give readings. Only two of its errors are raised:
        the container does not run, or does not exist.

        Raises:
            CancelledError, ContainerNotRunningError, NoSuchContainerError: as for `Source.open`.
        """
        if self._kernel is None:
            return None
        name = container_id[:12]
        try:
            container = self._kernel.inspect(container_id)
            name = container.name
            files = self._kernel.open_inspected(container, interval, cancel)
        except (ContainerNotRunningError, NoSuchContainerError):
            raise
        except EngineUnreachableError as error:  # says nothing about the files
            log.debug("the kernel's files of %s are not verified: %s", name, error)
            return None
        except (EngineError, ReadingError, LimitError) as error:
            self._note_failure(name, interval, error, was_read=False)
            return None
        with self._lock:
            changed, self._kernel_works = not self._kernel_works, True
            self._kernel_readers += 1
        if changed:
            log.info("source kernel: the kernel's files of %s agree with the engine", name)
            self._on_change()
        return files

    def open_engine(self, container_id: str, interval: float, cancel: CancelToken) -> EngineReader:
        """Return a reader that asks the engine."""
        return self.engine_source.choose(interval).open(container_id, interval, cancel)

    def set_interval(self, interval: float) -> None:
        """Use another interval for `name`. Each collector tells its reader itself."""
        self._interval = interval

    def retry_backoff(self) -> Backoff:
        """Return a new backoff: the waits before the files of one container are tried again."""
        return Backoff(BackoffPolicy(self._first_retry, RETRY_FACTOR, MAX_RETRY_SECONDS))

    def note_closed(self) -> None:
        """Note that the files of one container were closed. This alone does not change `name`."""
        with self._lock:
            self._kernel_readers -= 1

    def note_unreadable(self, name: str, interval: float, error: KernelUnreadableError) -> None:
        """Note that the files of the container `name` can no longer be read. Call `note_closed` first."""
        self._note_failure(name, interval, error, was_read=True)

    def _note_failure(self, container: str, interval: float, error: Exception, was_read: bool) -> None:
        """Note and log that a container's files are not used.

        At `warning` if the container's files were read before; else the first time at `info`, and later at `debug`.
        """
        with self._lock:
            changed = self._kernel_works and not self._kernel_readers
            self._kernel_works = bool(self._kernel_readers)
            first, self.trouble = self.trouble is None, str(error)
        level = logging.WARNING if was_read else logging.INFO if first else logging.DEBUG
        source = self.engine_source.choose(interval).name
        log.log(level, "the kernel's files of %s are not used, but source %s: %s", container, source, error)
        if changed:
            self._on_change()


class FallbackReader:
    """Reads the kernel's files; asks the engine when they fail, until they can be verified again.

    Files and engine have the same counters, so usages continue when the reader changes from one to the other. The
    methods are those of `source.Reader`.
    """

    def __init__(self, source: FallbackSource, container_id: str, interval: float, cancel: CancelToken) -> None:
        self._source = source
        self._container_id = container_id
        self._interval = interval
        self._cancel = cancel
        self._engine_reader: EngineReader | None = None
        self._retried = False  # the last `read` tried the files again; the next one gives a reading
        self._files = source.open_files(container_id, interval, cancel)
        self.kernel_run = self._files.kernel_run if self._files else None
        if self._files is None:
            self._switch_to_engine()

    @property
    def blocking(self) -> bool:
        """Whether readings have to be waited for, because they come from the engine now."""
        return self._files is None

    @property
    def schedule(self) -> Schedule:
        """When to read while the files are used."""
        assert self._files  # noqa: S101  # else the reader is blocking
        return self._files.schedule

    def read(self, wait: bool = True) -> Reading | None:
        """Return the next reading, from the files while they can be read, else from the engine; see `Reader.read`."""
        if self._files:
            try:
                return self._files.read()
            except KernelUnreadableError as error:
                if not wait:
                    raise  # to ask the engine instead, the reader would have to wait
                name = self._files.name
                self._close_files()
                self._source.note_unreadable(name, self._interval, error)
                self._switch_to_engine()
        return self._read_engine(wait)

    def set_interval(self, interval: float) -> None:
        """Read with another interval from now on. The engine may be asked by poll instead of stream, or vice versa."""
        if interval == self._interval:
            return
        self._interval = interval
        if self._files:
            self._files.set_interval(interval)
        elif self._engine_reader:
            reader, adapt = self._engine_reader, self._source.engine_source.adapt
            self._engine_reader = adapt(reader, self._container_id, interval, self._cancel)

    def close(self) -> None:
        """Close the files and the connection to the engine."""
        self._close_files()
        if self._engine_reader:
            self._engine_reader.close()

    def _read_engine(self, wait: bool) -> Reading | None:
        assert self._engine_reader  # noqa: S101  # there is one whenever there are no files
        if wait and not self._retried and time.monotonic() >= self._retry_at:
            self._retry_files()
            self._retried = True
            return None  # trying may have taken long: the caller tells the watchdog that the thread does not hang
        self._retried = False
        return self._engine_reader.read(wait)

    def _switch_to_engine(self) -> None:
        self._engine_reader = self._source.open_engine(self._container_id, self._interval, self._cancel)
        self._backoff = self._source.retry_backoff()
        self._retry_at = time.monotonic() + self._backoff.next_wait()

    def _retry_files(self) -> None:
        """Try to return to the files. If that fails, the engine is still asked."""
        try:
            files = self._source.open_files(self._container_id, self._interval, self._cancel)
        except (ContainerNotRunningError, NoSuchContainerError) as error:  # if so, the engine's readings will end, too
            log.debug("the kernel's files of %s are not tried again now: %s", self._container_id[:12], error)
            files = None
        if files is None:
            self._retry_at = time.monotonic() + self._backoff.next_wait()
            return
        log.info("the kernel's files of %s are read again", files.name)
        files.continue_from(time.monotonic())
        self._files, self.kernel_run = files, files.kernel_run
        if self._engine_reader:
            self._engine_reader.close()

    def _close_files(self) -> None:
        if self._files:
            self._files.close()
            self._files = None
            self._source.note_closed()
