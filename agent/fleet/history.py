"""The last numbers of a container, in arrays: an hour of them takes 16 KB. Pure."""

from array import array
from collections.abc import Sequence
from math import nan

from agent.fleet.documents import Document, number

MAX_SAMPLES = 100_000  # of one container, whatever times its usages claim
_TRIM_SAMPLES = 64  # so many are removed at once: to remove the first of an array moves all others

SERIES: dict[str, tuple[str, str]] = {
    "cpu": ("cpu", "percent"),
    "memory": ("memory", "used"),
    "rx": ("network", "rx_rate"),
    "tx": ("network", "tx_rate"),
    "read": ("block_io", "read_rate"),
    "write": ("block_io", "write_rate"),
    "pressure_cpu": ("pressure", "cpu_some"),
    "pressure_memory": ("pressure", "memory_some"),
    "pressure_io": ("pressure", "io_some"),
}
"""What is kept of each usage: the name of a series, and the field's path in a usage."""


class History:
    """Values of the usages of the last seconds, the oldest first.

    Args:
        seconds: how far it reaches back from the newest usage.

    Attributes:
        times: Unix time of each usage, in seconds, by the clock of its host.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.times = array("d")
        self._series = {name: array("f") for name in SERIES}

    def series(self, name: str) -> Sequence[float]:
        """Return the values of one of SERIES, as many as there are `times`; nan where it was not measured."""
        return self._series[name]

    def add(self, time: float, usage: Document) -> None:
        """Append a usage. `time`: Unix time, seconds. If it is not later than the last one, all before is forgotten."""
        if self.times and time <= self.times[-1]:
            self.clear()
        self.times.append(time)
        for name, path in SERIES.items():
            value = number(usage, *path)
            self._series[name].append(nan if value is None else value)
        self._trim(time - self._seconds)

    def clear(self) -> None:
        """Forget everything."""
        self._remove(len(self.times))

    def shorten(self, samples: int) -> None:
        """Keep only so many, the newest."""
        excess = len(self.times) - samples
        if excess > 0:
            self._remove(excess)

    def _trim(self, oldest: float) -> None:
        if len(self.times) < _TRIM_SAMPLES:
            return
        if self.times[_TRIM_SAMPLES - 1] < oldest or len(self.times) > MAX_SAMPLES:
            self._remove(_TRIM_SAMPLES)

    def _remove(self, samples: int) -> None:
        for values in (self.times, *self._series.values()):
            del values[:samples]
