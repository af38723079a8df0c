"""Readings from the engine: pushed by it (stream), or asked for one by one (poll).

For a stream the engine collects a container's figures once a second, however long the interval is. For a poll it
collects them once an interval. At intervals of about two seconds or more the poll is cheaper.
"""

import time
from collections.abc import Generator
from contextlib import closing

from agent.collection.schedule import Schedule, downsample, poll_schedule
from agent.collection.source import ReadingsEndedError
from agent.engine import stats
from agent.engine.client import EngineClient
from agent.engine.errors import InvalidResponseError
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.timestamps import format_time

MAX_BAD_DOCUMENTS = 3  # in a row: a single one may happen, so many are a fault of the engine

Documents = Generator[tuple[float, bytes], None, None]
"""Raw stats documents, each with the monotonic moment of its arrival in seconds."""


class StreamSource:
    """Reads streams. Engines send a document about once a second, so a shorter interval still gives one a second."""

    name = "stream"
    decided = True

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def open(self, container_id: str, interval: float, cancel: CancelToken) -> "EngineReader":
        """Return a reader; the engine is first asked by its first `read`."""
        return EngineReader(self._engine, self._documents(container_id, interval, cancel), cancel)

    def _documents(self, container_id: str, interval: float, cancel: CancelToken) -> Documents:
        with closing(self._engine.stats_stream(container_id, cancel)) as stream:
            # Documents that are not picked are never decoded.
            yield from downsample(interval, ((time.monotonic(), raw) for raw in stream))


class PollSource:
    """Reads by one call for each reading. Engines before version 25 take up to a second to answer."""

    name = "poll"
    decided = True

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def open(self, container_id: str, interval: float, cancel: CancelToken) -> "EngineReader":
        """Return a reader; the engine is first asked by its first `read`."""
        return EngineReader(self._engine, self._documents(container_id, interval, cancel), cancel)

    def _documents(self, container_id: str, interval: float, cancel: CancelToken) -> Documents:
        yield self._ask(container_id, cancel)
        schedule = poll_schedule(time.monotonic(), interval)
        while _wait_until(schedule.next_after(time.monotonic()), cancel):
            yield self._ask(container_id, cancel)

    def _ask(self, container_id: str, cancel: CancelToken) -> tuple[float, bytes]:
        raw = self._engine.stats_once(container_id, cancel)
        return time.monotonic(), raw


def _wait_until(due: float, cancel: CancelToken) -> bool:
    """Sleep until the monotonic moment `due`. Return False if cancelled."""
    while (left := due - time.monotonic()) > 0 and not cancel.is_set():
        cancel.wait(left)  # a wake-up is meant for the waits after errors, and does not end this one
    return not cancel.is_set()


class EngineReader:
    """Decodes a container's stats documents as they come (see `source.Reader`).

    One unusable document costs one usage. MAX_BAD_DOCUMENTS of them in a row raise InvalidResponseError. A document
    with the same time as the one before counts as unusable: an engine that is stuck sends one document again and again.
    """

    blocking = True

    def __init__(self, engine: EngineClient, documents: Documents, cancel: CancelToken) -> None:
        self._engine = engine
        self._documents = documents
        self._cancel = cancel
        self._bad = 0  # unusable documents in a row
        self._last_time: int | None = None  # of the reading before, by the engine's clock, ns

    @property
    def schedule(self) -> Schedule:
        """There is none: this reader always blocks."""
        raise NotImplementedError

    def read(self, wait: bool = True) -> Reading | None:
        """Return the next reading, as `source.Reader` says."""
        if not wait:
            return None
        for arrived, raw in self._documents:
            if reading := self._decode(raw, arrived):
                return reading
        if self._cancel.is_set():
            raise CancelledError
        raise ReadingsEndedError("the engine ended the readings")

    def close(self) -> None:
        """Close the connection to the engine."""
        self._documents.close()

    def _decode(self, raw: bytes, arrived: float) -> Reading | None:
        try:
            reading = self._parse_new(raw, arrived)
        except ContainerNotRunningError:
            raise
        except ReadingError as error:
            self._engine.count_error()
            self._bad += 1
            if self._bad == MAX_BAD_DOCUMENTS:
                raise InvalidResponseError(
                    f"{MAX_BAD_DOCUMENTS} stats documents in a row cannot be used: {error}"
                ) from error
            return None
        self._bad = 0
        self._last_time = reading.time
        return reading

    def _parse_new(self, raw: bytes, arrived: float) -> Reading:
        reading = stats.parse_stats(raw, arrived)
        if reading.time == self._last_time:
            raise ReadingError(f"read: {format_time(reading.time)} once more")
        return reading
