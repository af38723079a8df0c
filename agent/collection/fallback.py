"""Which source it is: the one that is asked for, or by itself the cheapest that is sure to be right."""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import closing
from threading import Lock

from agent.collection.engine_source import Poll, Stream
from agent.collection.kernel_source import KernelSource, Proven
from agent.collection.source import Paced, Readings, Source
from agent.engine.client import Engine
from agent.kernel.files import KernelUnreadable
from agent.kernel.reader import Kernel
from agent.metrics.reading import Reading
from agent.runtime.cancel import Cancel, Cancelled

log = logging.getLogger(__name__)

POLL_FROM = 2.0  # seconds; from there up a poll is cheaper than a stream
AGAIN, SLOWER, SELDOM = 60.0, 4, 3600.0  # seconds until the kernel's files are tried again, each time so much later


def choose(source: str, interval: float, engine: Engine, changed: Callable[[], None] = lambda: None) -> Source:
    """Return the source of that name; by "auto" the cheapest. `changed` is called when its name becomes another."""
    kernel = KernelSource(engine, Kernel(descriptors=engine.descriptors))
    if source == "auto":
        return Auto(engine, interval, kernel if engine.local else None, changed)
    if source == "kernel":
        return kernel
    return Poll(engine) if source == "poll" else Stream(engine)


class Auto:
    """The kernel's files for every container that they are proved for, the engine for all others.

    `name` is what the containers that can be read by the kernel's files are read by. `trouble` is why that is not the
    kernel, or was not for some container.
    """

    def __init__(
        self,
        engine: Engine,
        interval: float,
        kernel: KernelSource | None,
        changed: Callable[[], None] = lambda: None,
        again: float = AGAIN,
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

    def readings(self, container_id: str, interval: float, cancel: Cancel) -> Readings:
        """Yield readings as a Source does; from one source to the other without a gap in what they count."""
        try:
            if proven := self._prove(container_id, cancel):
                yield from self._by_kernel(container_id, proven.begin(interval))
            while proven := (yield from self._by_engine(container_id, interval, cancel)):
                due = time.monotonic() + interval
                yield from self._by_kernel(container_id, proven.go_on(due, interval))
        except Cancelled:
            return

    def _by_kernel(self, container_id: str, readings: Readings) -> Readings:
        """Yield proven readings, until the kernel's files fail."""
        self._count(1)
        try:
            with closing(readings):
                yield from readings
        except KernelUnreadable as error:
            self._failed(container_id, error, known=True)
        finally:
            self._count(-1)

    def _by_engine(
        self, container_id: str, interval: float, cancel: Cancel
    ) -> Generator[Reading | Paced, None, Proven | None]:
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
                    wait = min(wait * SLOWER, SELDOM)
                    again = time.monotonic() + wait
        return None

    def _prove(self, container_id: str, cancel: Cancel) -> Proven | None:
        if self._kernel is None:
            return None
        try:
            proven = self._kernel.prove(container_id, cancel)
        except KernelUnreadable as error:
            self._failed(container_id, error, known=False)
            return None
        with self._lock:
            changed, self._works = not self._works, True
        if changed:
            log.info("source kernel: the kernel's files say of %s what the engine says", container_id[:12])
            self._changed()
        return proven

    def _engine_source(self) -> Source:
        poll = self._interval >= POLL_FROM and self._engine.one_shot
        return Poll(self._engine) if poll else Stream(self._engine)

    def _count(self, users: int) -> None:
        with self._lock:
            self._users += users

    def _failed(self, container_id: str, error: KernelUnreadable, known: bool) -> None:
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
