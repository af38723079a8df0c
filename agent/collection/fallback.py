"""Which source it is: the one that is asked for, or by itself the cheapest that is sure to be right."""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import closing
from threading import Lock

from agent.collection.engine_source import PollSource, StreamSource
from agent.collection.kernel_source import KernelSource, VerifiedFiles
from agent.collection.source import Paced, Readings, Source
from agent.engine.client import EngineClient
from agent.kernel.files import KernelUnreadableError
from agent.kernel.reader import KernelReader
from agent.metrics.reading import Reading
from agent.runtime.cancel import CancelledError, CancelToken

log = logging.getLogger(__name__)

POLL_FROM_SECONDS = 2.0  # seconds; from there up a poll is cheaper than a stream
FIRST_RETRY_SECONDS, RETRY_FACTOR, MAX_RETRY_SECONDS = (
    60.0,
    4,
    3600.0,
)  # seconds until the kernel's files are tried again, each time so much later


def create_source(
    source: str, interval: float, engine: EngineClient, changed: Callable[[], None] = lambda: None
) -> Source:
    """Return the source of that name; by "auto" the cheapest. `changed` is called when its name becomes another."""
    kernel = KernelSource(engine, KernelReader(descriptors=engine.descriptors))
    if source == "auto":
        return FallbackSource(engine, interval, kernel if engine.local else None, changed)
    if source == "kernel":
        return kernel
    return PollSource(engine) if source == "poll" else StreamSource(engine)


class FallbackSource:
    """The kernel's files for every container that they are proved for, the engine for all others.

    `name` is what the containers that can be read by the kernel's files are read by. `trouble` is why that is not the
    kernel, or was not for some container.
    """

    def __init__(
        self,
        engine: EngineClient,
        interval: float,
        kernel: KernelSource | None,
        changed: Callable[[], None] = lambda: None,
        again: float = FIRST_RETRY_SECONDS,
    ) -> None:
        self._engine = engine
        self._interval = interval
        self._kernel = kernel
        self._changed = changed
        self._again = again
        self._lock = Lock()
        self._works = False  # the kernel's files, for some container
        self._users = 0  # containers that are read by them now
        self.trouble: str | None = None

    @property
    def name(self) -> str:
        """The source in use."""
        return "kernel" if self._works else self._engine_source().name

    def readings(self, container_id: str, interval: float, cancel: CancelToken) -> Readings:
        """Yield readings as a Source does; from one source to the other without a gap in what they count."""
        try:
            if proven := self._prove(container_id, cancel):
                yield from self._by_kernel(container_id, proven.begin(interval))
            while proven := (yield from self._by_engine(container_id, interval, cancel)):
                due = time.monotonic() + interval
                yield from self._by_kernel(container_id, proven.go_on(due, interval))
        except CancelledError:
            return

    def _by_kernel(self, container_id: str, readings: Readings) -> Readings:
        """Yield proven readings, until the kernel's files fail."""
        self._count(1)
        try:
            with closing(readings):
                yield from readings
        except KernelUnreadableError as error:
            self._failed(container_id, error, known=True)
        finally:
            self._count(-1)

    def _by_engine(
        self, container_id: str, interval: float, cancel: CancelToken
    ) -> Generator[Reading | Paced, None, VerifiedFiles | None]:
        """Yield the engine's readings until the kernel's files are proved, and return those; None when they end."""
        wait = self._again
        again = time.monotonic() + wait
        with closing(self._engine_source().readings(container_id, interval, cancel)) as readings:
            for reading in readings:
                yield reading
                if time.monotonic() >= again:
                    if proven := self._prove(container_id, cancel):
                        log.info("the kernel's files of %s are read again", container_id[:12])
                        return proven
                    wait = min(wait * RETRY_FACTOR, MAX_RETRY_SECONDS)
                    again = time.monotonic() + wait
        return None

    def _prove(self, container_id: str, cancel: CancelToken) -> VerifiedFiles | None:
        if self._kernel is None:
            return None
        try:
            proven = self._kernel.verify(container_id, cancel)
        except KernelUnreadableError as error:
            self._failed(container_id, error, known=False)
            return None
        with self._lock:
            changed, self._works = not self._works, True
        if changed:
            log.info("source kernel: the kernel's files say of %s what the engine says", container_id[:12])
            self._changed()
        return proven

    def _engine_source(self) -> Source:
        poll = self._interval >= POLL_FROM_SECONDS and self._engine.supports_one_shot
        return PollSource(self._engine) if poll else StreamSource(self._engine)

    def _count(self, users: int) -> None:
        with self._lock:
            self._users += users

    def _failed(self, container_id: str, error: KernelUnreadableError, known: bool) -> None:
        """Say it once for a container whose files were read, and else once for all; `known`: they were."""
        with self._lock:
            others = self._users - known
            changed, self._works = self._works and not others, bool(others)
            news, self.trouble = self.trouble is None, str(error)
        level = logging.WARNING if known else logging.INFO if news else logging.DEBUG
        name = self._engine_source().name
        log.log(level, "the kernel's files of %s are not used, but source %s: %s", container_id[:12], name, error)
        if changed:
            self._changed()
