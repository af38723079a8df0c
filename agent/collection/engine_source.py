"""Where readings come from: pushed by the engine (Stream), or asked for (Poll). One kind of reading either way.

A third source needs the engine only to begin with (see kernel_source.py); which one it is, choice.py says.

A stream costs the engine one collection a second for each container, however few of them are used; a poll costs one an
interval. From about two seconds up the poll is the cheaper.
"""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from agent.collection.schedule import dues, every
from agent.engine import stats
from agent.engine.client import Engine
from agent.engine.errors import EngineRubbish
from agent.metrics.reading import ContainerNotRunning, NoReading, Reading
from agent.runtime.cancel import Cancel, Cancelled
from agent.runtime.timestamps import format_time

ENOUGH = 3  # bad documents in a row: one may happen, so many are the engine's way


class Stream:
    """Readings from a stream, which comes about once a second: an interval below that gives one a second."""

    name = "stream"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def readings(self, container_id: str, interval: float, cancel: Cancel) -> Generator[Reading, None, None]:
        """Yield readings as a Source does; documents that are not picked are never decoded."""
        with closing(self._engine.stats_stream(container_id, cancel)) as stream:
            arrivals = ((time.monotonic(), raw) for raw in stream)
            yield from _decoded(self._engine, every(interval, arrivals))


class Poll:
    """Readings asked for one by one; engines before 25 take up to a second to answer."""

    name = "poll"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def readings(self, container_id: str, interval: float, cancel: Cancel) -> Generator[Reading, None, None]:
        """Yield readings as a Source does."""
        with closing(self._polls(container_id, interval, cancel)) as polls:
            yield from _decoded(self._engine, polls)

    def _polls(self, container_id: str, interval: float, cancel: Cancel) -> Generator[tuple[float, bytes], None, None]:
        try:
            yield self._ask(container_id, cancel)
            grid = dues(time.monotonic(), interval)
            while _reached(grid.after(time.monotonic()), cancel):
                yield self._ask(container_id, cancel)
        except Cancelled:
            return

    def _ask(self, container_id: str, cancel: Cancel) -> tuple[float, bytes]:
        raw = self._engine.stats_once(container_id, cancel)
        return time.monotonic(), raw


def _reached(due: float, cancel: Cancel) -> bool:
    """Sleep until then; whether `cancel` was not set meanwhile."""
    while (early := due - time.monotonic()) > 0 and not cancel.is_set():
        cancel.wait(early)  # a nudge ends the wait only, it is about errors: the grid stays
    return not cancel.is_set()


def _decoded(engine: Engine, arrivals: Iterable[tuple[float, bytes]]) -> Iterator[Reading]:
    """Yield what the documents say. One that says nothing costs one usage; raises EngineRubbish when they go on so."""
    bad = 0
    before = None
    for arrived, raw in arrivals:
        try:
            before = _newer(stats.reading(raw, arrived), before)
        except ContainerNotRunning:
            raise
        except NoReading as error:
            engine.count_error()
            bad += 1
            if bad == ENOUGH:
                raise EngineRubbish(f"{bad} stats documents in a row are of no use: {error}") from error
        else:
            bad = 0
            yield before


def _newer(reading: Reading, before: Reading | None) -> Reading:
    """Return a reading that is not the one before: an engine whose collector stands still repeats itself for ever."""
    if before and reading.time == before.time:
        raise NoReading(f"read: {format_time(reading.time)} once more")
    return reading
