"""The usages of one container, each computed from two readings in a row."""

from agent.messages.payloads import Measurements
from agent.metrics.rates import compute_usage
from agent.metrics.reading import Reading
from agent.runtime.logs import WarnOnce

NO_MEMORY = "memory is not measured: boot the host with cgroup_enable=memory cgroup_memory=1"


class UsageCalculator:
    """Keeps the last reading of one container. Used by one thread at a time.

    The reading outlives a failure and a change of the interval: the first usage after it covers the time in between.

    Args:
        core_mhz: clock rate of one CPU, MHz; None if it is not known.
        warn_once: told if the host does not measure memory.
    """

    def __init__(self, core_mhz: float | None, warn_once: WarnOnce) -> None:
        self._core_mhz = core_mhz
        self._warn_once = warn_once
        self._last: Reading | None = None
        self._without_memory = 0  # usages in a row

    def add(self, reading: Reading) -> Measurements | None:
        """Return the usage between the last reading and this one; None if it is not known (see `compute_usage`)."""
        previous, self._last = self._last, reading
        usage = compute_usage(previous, reading, self._core_mhz)
        if usage is not None:
            self._without_memory = 0 if "memory" in usage else self._without_memory + 1
            if self._without_memory == 2:  # one usage without memory may be of a container that is just ending
                self._warn_once.warn(NO_MEMORY)
        return usage
