"""TODO."""

from collections.abc import Callable, Generator
from typing import Protocol

from agent.collection.schedule import Schedule
from agent.metrics.reading import Reading, ReadingError
from agent.runtime.cancel import CancelToken


class Paced:
    """Readings that nobody has to wait for: one may be had at any time, and is to be had at the points of `grid`."""

    def __init__(self, grid: Schedule, read: Callable[[], Reading]) -> None:
        self.grid = grid
        self.failure: ReadingError | None = None
        self._read = read

    def read(self) -> Reading | None:
        """Return one; None when there is `failure` instead, and whoever has yielded this is to go on."""
        self.failure = None
        try:
            return self._read()
        except ReadingError as failure:
            self.failure = failure
            return None


Readings = Generator[Reading | Paced, None, None]


class Source(Protocol):
    """Gives readings of any container."""

    @property
    def name(self) -> str:
        """What it is called in the configuration."""
        ...

    def readings(self, container_id: str, interval: float, cancel: CancelToken) -> Readings:
        """Yield two readings as soon as may be, then one per `interval` seconds on a steady grid, until `cancel`.

        Or some, and then how the others can be had. It ends as well where the engine ends it. Raises EngineError, and
        ContainerNotRunningError. Close it after use.
        """
        ...
