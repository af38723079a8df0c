"""Readings from the engine: pushed by it (stream), or asked for one by one (poll).

For a stream the engine collects a container's figures once a second, however long the interval is. For a poll it
collects them once an interval. At intervals of about two seconds or more the poll is cheaper.
"""

import math
import time
from collections.abc import Generator
from contextlib import closing

from agent.collection.schedule import Pace, Sampler, Schedule, poll_schedule
from agent.collection.source import ReadingsEndedError
from agent.engine import stats
from agent.engine.client import EngineClient
from agent.engine.errors import InvalidResponseError
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.timestamps import format_time

POLL_FROM_SECONDS = 2.0  # from this interval up a poll is cheaper than a stream
MAX_BAD_DOCUMENTS = 3  # in a row: one may happen at any time, more are a fault of the engine

Documents = Generator[tuple[float, bytes] | None, None, None]
"""Raw stats documents, each with the monotonic moment of its arrival in seconds. None: the wait was cut short."""


class StreamSource:
    """Reads streams. Engines send a document about once a second, so a shorter interval still gives one a second.

    The methods are those of `source.Source`; intervals are in seconds.
    """

    name = "stream"
    name_is_settled = True

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def open(self, container_id: str, interval: float, cancel: CancelToken) -> "EngineReader":
        """Return a reader; the engine is first asked by its first `read`."""
        return self.resume(container_id, Pace(interval), cancel)

    def resume(self, container_id: str, pace: Pace, cancel: CancelToken) -> "EngineReader":
        """Return a reader that follows the pace of an earlier reader of this container."""
        return EngineReader(self._engine, self._documents(container_id, pace, cancel), cancel, pace)

    def _documents(self, container_id: str, pace: Pace, cancel: CancelToken) -> Documents:
        sampler = Sampler(pace)
        with closing(self._engine.stats_stream(container_id, cancel)) as stream:
            for raw in stream:
                arrived = time.monotonic()
                if cancel.clear_wake():
                    yield None
                if sampler.picks(arrived):  # documents that are not picked are never decoded
                    yield arrived, raw


class PollSource:
    """Reads by one call for each reading. Engines before version 25 take up to a second to answer.

    The methods are those of `source.Source`; intervals are in seconds.
    """

    name = "poll"
    name_is_settled = True

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def open(self, container_id: str, interval: float, cancel: CancelToken) -> "EngineReader":
        """Return a reader; the engine is first asked by its first `read`."""
        return self.resume(container_id, Pace(interval), cancel)

    def resume(self, container_id: str, pace: Pace, cancel: CancelToken) -> "EngineReader":
        """Return a reader that follows the pace of an earlier reader of this container."""
        return EngineReader(self._engine, self._documents(container_id, pace, cancel), cancel, pace)

    def _documents(self, container_id: str, pace: Pace, cancel: CancelToken) -> Documents:
        if pace.due == -math.inf:
            yield self._ask(container_id, cancel)
            pace.begin(poll_schedule(time.monotonic(), pace.interval))
        while not cancel.wait(pace.due - time.monotonic()):
            if time.monotonic() < pace.due:
                yield None
            else:
                document = self._ask(container_id, cancel)
                pace.note_served(document[0])
                yield document

    def _ask(self, container_id: str, cancel: CancelToken) -> tuple[float, bytes]:
        raw = self._engine.stats_once(container_id, cancel)
        return time.monotonic(), raw


class CheaperSource:
    """Chooses between stream and poll: the one that is cheaper for a container's interval."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def choose(self, interval: float) -> PollSource | StreamSource:
        """Return the source for an interval of so many seconds."""
        poll = interval >= POLL_FROM_SECONDS and self._engine.supports_one_shot
        return PollSource(self._engine) if poll else StreamSource(self._engine)

    def adapt(self, reader: "EngineReader", container_id: str, interval: float, cancel: CancelToken) -> "EngineReader":
        """Give a reader another interval, seconds. Return this reader, or a new one that replaces it."""
        before, after = self.choose(reader.pace.interval), self.choose(interval)
        reader.set_interval(interval)
        if before.name == after.name:
            return reader
        reader.close()
        return after.resume(container_id, reader.pace, cancel)


class EngineReader:
    """Decodes a container's stats documents as they come (see `source.Reader`).

    One unusable document costs one usage. MAX_BAD_DOCUMENTS of them in a row raise InvalidResponseError. A document
    with the same time as the one before counts as unusable: an engine that is stuck sends one document again and again.

    Attributes:
        pace: when the next reading is due.
    """

    blocking = True
    kernel_run = None  # this reader does not read the kernel's files

    def __init__(self, engine: EngineClient, documents: Documents, cancel: CancelToken, pace: Pace) -> None:
        self.pace = pace
        self._engine = engine
        self._documents = documents
        self._cancel = cancel
        self._bad = 0  # unusable documents in a row
        self._last_time: int | None = None  # of the reading before, by the engine's clock, ns

    @property
    def schedule(self) -> Schedule:
        """Not implemented: a reader that blocks has no schedule."""
        raise NotImplementedError

    def read(self, wait: bool = True) -> Reading | None:
        """Return the next reading or None. Arguments, results and errors are those of `source.Reader.read`."""
        if not wait:
            return None
        for document in self._documents:
            if document is None:
                return None
            arrived, raw = document
            if reading := self._decode(raw, arrived):
                return reading
        if self._cancel.is_set():
            raise CancelledError
        raise ReadingsEndedError("the engine ended the readings")

    def set_interval(self, interval: float) -> None:
        """Read with another interval from now on."""
        if interval != self.pace.interval:
            self.pace.change(interval)

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
