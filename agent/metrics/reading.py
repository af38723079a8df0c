"""TODO."""

from dataclasses import dataclass

from agent.messages.payloads import BlockIo, Memory, Network, Pids


@dataclass(frozen=True, slots=True)
class CpuReading:
    """CPU time since the container started, in ns; None where the engine does not say.

    `system` is the host's CPU time over all its `online` CPUs (at least 1), idle time included.
    """

    total: int
    kernel: int | None
    user: int | None
    system: int | None
    online: int
    throttled_periods: int | None
    throttled_time: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A container at one instant: gauges, and counters since it started.

    `time` is the engine's clock in ns since the epoch, `arrived` the agent's monotonic clock in seconds. The two never
    mix. `network` and `block_io` hold counters, no rates.
    """

    time: int
    arrived: float
    cpu: CpuReading
    memory: Memory | None
    network: Network | None
    block_io: BlockIo | None
    pids: Pids | None


class ReadingError(ValueError):  # a noun of the domain: most often it is news, not a fault
    """There is no reading to be had; the message says what was wrong with what there is instead."""


class ContainerNotRunningError(ReadingError):
    """The container does not run: engines answer that with zeros, in a stream for ever, and the kernel with ENODEV."""
