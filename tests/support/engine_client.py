"""Engine clients as the agent has them, for tests; and a thread that reads from one."""

import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Generic, TypeVar

from agent.collection.source import Source
from agent.config import EngineSettings
from agent.engine.client import EngineClient
from agent.engine.errors import EngineUnreachableError
from agent.messages.payloads import EngineInfo
from agent.metrics.reading import Reading
from agent.runtime.cancel import CancelledError, CancelToken
from support.daemons.processes import PATIENCE

T = TypeVar("T")


def unconnected(url: str, timeout: float = 10.0, tls: tuple[str, str, str] | None = None) -> EngineClient:
    """Return a client that is not connected; `tls` are the files of the CA, of its certificate and of its key."""
    ca, cert, key = tls or (None, None, None)
    return EngineClient(EngineSettings(url=url, timeout=timeout, tls_ca=ca, tls_cert=cert, tls_key=key))


def connected(url: str, timeout: float = 10.0, tls: tuple[str, str, str] | None = None) -> EngineClient:
    """Return a connected client."""
    engine = unconnected(url, timeout, tls)
    engine.connect()
    return engine


def connected_with_short_timeout(url: str, timeout: float) -> EngineClient:
    """Return a connected client whose calls give up after `timeout` seconds."""
    engine = unconnected(url, timeout)
    connect_patiently(engine)
    return engine


def connect_patiently(engine: EngineClient) -> EngineInfo:
    """Connect a client whose timeout is so short that a busy machine may need several attempts."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return engine.connect()
        except EngineUnreachableError:
            if time.monotonic() > deadline:
                raise


def descriptors() -> int:
    """Return the number of open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing itself is a descriptor, each time


def readings(source: Source, container_id: str, interval: float, cancel: CancelToken) -> Iterator[Reading]:
    """Yield a container's readings as a collector takes them, until `cancel` is set."""
    with suppress(CancelledError), closing(source.open(container_id, interval, cancel)) as reader:
        due: float | None = None  # the monotonic moment of the next reading; None: now
        while due is None or not cancel.wait(due - time.monotonic()):
            if reading := reader.read():
                yield reading
            if reader.blocking:
                due = None
            else:
                due = reader.schedule.begin if due is None else reader.schedule.next_after(time.monotonic())


class ReaderThread(Generic[T]):
    """A thread that iterates over `items`, as the thread of a collector does, and passes them on."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._read: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def next(self, timeout: float = PATIENCE) -> T:
        """Wait for the next item and return it; fail with the error of the iterator if that ended."""
        item = self._read.get(timeout=timeout)
        if item is None:
            raise AssertionError("there are no more items") from self._error
        return item[0]

    def end(self, timeout: float = PATIENCE) -> Exception | None:
        """Wait until the iterator ends; return its error, None if it ended without."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"still reading after {timeout} s"
        return self._error

    def _run(self) -> None:
        try:
            for item in self._items:
                self._read.put((item,))
        except Exception as error:
            self._error = error
        self._read.put(None)
