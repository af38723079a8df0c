"""Where readings come from: pushed by the engine (Stream), or asked for (Poll). One kind of reading either way.

A third source needs the engine only to begin with (see kernel_source.py); which one it is, choice.py says.

A stream costs the engine one collection a second for each container, however few of them are used; a poll costs one an
interval. From about two seconds up the poll is the cheaper.
"""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from agent.collection.schedule import downsample, poll_schedule
from agent.engine import stats
from agent.engine.client import EngineClient
from agent.engine.errors import InvalidResponseError
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.timestamps import format_time

MAX_BAD_DOCUMENTS = 3  # bad documents in a row: one may happen, so many are the engine's way


class StreamSource:
    """Readings from a stream, which comes about once a second: an interval below that gives one a second."""

    name = "stream"

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def readings(self, container_id: str, interval: float, cancel: CancelToken) -> Generator[Reading, None, None]:
        """Yield readings as a Source does; documents that are not picked are never decoded."""
        with closing(self._engine.stats_stream(container_id, cancel)) as stream:
            arrivals = ((time.monotonic(), raw) for raw in stream)
            yield from _decoded(self._engine, downsample(interval, arrivals))


class PollSource:
    """Readings asked for one by one; engines before 25 take up to a second to answer."""

    name = "poll"

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def readings(self, container_id: str, interval: float, cancel: CancelToken) -> Generator[Reading, None, None]:
        """Yield readings as a Source does."""
        with closing(self._polls(container_id, interval, cancel)) as polls:
            yield from _decoded(self._engine, polls)

    def _polls(
        self, container_id: str, interval: float, cancel: CancelToken
    ) -> Generator[tuple[float, bytes], None, None]:
        try:
            yield self._ask(container_id, cancel)
            grid = poll_schedule(time.monotonic(), interval)
            while _reached(grid.next_after(time.monotonic()), cancel):
                yield self._ask(container_id, cancel)
        except CancelledError:
            return

    def _ask(self, container_id: str, cancel: CancelToken) -> tuple[float, bytes]:
        raw = self._engine.stats_once(container_id, cancel)
        return time.monotonic(), raw


def _reached(due: float, cancel: CancelToken) -> bool:
    """Sleep until then; whether `cancel` was not set meanwhile."""
    while (early := due - time.monotonic()) > 0 and not cancel.is_set():
        cancel.wait(early)  # a nudge ends the wait only, it is about errors: the grid stays
    return not cancel.is_set()


def _decoded(engine: EngineClient, arrivals: Iterable[tuple[float, bytes]]) -> Iterator[Reading]:
    """Yield what the documents say. One that is unusable costs a usage; several in a row raise InvalidResponseError."""
    bad = 0
    before = None
    for arrived, raw in arrivals:
        try:
            before = _newer(stats.parse_stats(raw, arrived), before)
        except ContainerNotRunningError:
            raise
        except ReadingError as error:
            engine.count_error()
            bad += 1
            if bad == MAX_BAD_DOCUMENTS:
                raise InvalidResponseError(f"{bad} stats documents in a row are of no use: {error}") from error
        else:
            bad = 0
            yield before


def _newer(reading: Reading, before: Reading | None) -> Reading:
    """Return a reading that is not the one before: an engine whose collector stands still repeats itself for ever."""
    if before and reading.time == before.time:
        raise ReadingError(f"read: {format_time(reading.time)} once more")
    return reading
