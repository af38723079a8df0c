"""Asking an engine from a test: the engine as the agent would have it, and a thread that reads."""

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

T = TypeVar("T")

PATIENT = 20.0
"""Seconds that a test waits for what should come at once; only a broken one needs them."""


def unconnected(url: str, timeout: float = 10.0, tls: tuple[str, str, str] | None = None) -> EngineClient:
    """Return an engine that has not been asked anything; `tls` are the files of the CA, our certificate and its key."""
    ca, cert, key = tls or (None, None, None)
    return EngineClient(EngineSettings(url=url, timeout=timeout, tls_ca=ca, tls_cert=cert, tls_key=key))


def connected(url: str, timeout: float = 10.0, tls: tuple[str, str, str] | None = None) -> EngineClient:
    """Return an engine that has said who it is."""
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
    deadline = time.monotonic() + PATIENT
    while True:
        try:
            return engine.connect()
        except EngineUnreachableError:
            if time.monotonic() > deadline:
                raise


def descriptors() -> int:
    """Count what this process holds open."""
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


class Reader(Generic[T]):
    """Reads in a thread, as a collector does, and hands over."""

    def __init__(self, things: Iterator[T]) -> None:
        self._things = things
        self._came: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def next(self, timeout: float = PATIENT) -> T:
        """Return the next thing; fail with the error that ended the reading if there is none."""
        came = self._came.get(timeout=timeout)
        if came is None:
            raise AssertionError("nothing more to read") from self._error
        return came[0]

    def end(self, timeout: float = PATIENT) -> Exception | None:
        """Wait until nothing more can come; return what it ended with."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"still reading after {timeout} s"
        return self._error

    def _run(self) -> None:
        try:
            for thing in self._things:
                self._came.put((thing,))
        except Exception as error:
            self._error = error
        self._came.put(None)
