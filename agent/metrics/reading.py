"""A reading: what a container's counters and gauges showed at one instant, whichever source they came from."""

from dataclasses import dataclass

from agent.messages.payloads import BlockIo, Memory, Network, Pids


# Keyword arguments only: several fields have one type, and a new field in the middle would shift the others unseen.
@dataclass(frozen=True, slots=True, kw_only=True)
class CpuReading:
    """CPU counters of a container since its start, and the CPU figures of its host.

    Attributes:
        total: CPU time, ns.
        kernel: the part of `total` spent in the kernel, ns. This field and those below are None if they were not
            measured, except `online`.
        user: the part of `total` spent in user code, ns.
        host_total: CPU time of the host, over all its online CPUs, idle time included, ns.
        online: CPUs of the host that are online, at least 1.
        throttled_periods: periods in which the container was throttled.
        throttled_time: time for which it was throttled, ns.
        is_measured: False if the engine's host counts no CPU time of the container; `total` is 0 then.
    """

    total: int
    kernel: int | None
    user: int | None
    host_total: int | None
    online: int
    throttled_periods: int | None
    throttled_time: int | None
    is_measured: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Gauges of a container at one instant, and its counters since its start. Parts that were not measured are None.

    Attributes:
        time: when the values were read, by the clock of the engine's host, ns since the epoch.
        arrived: when they reached the agent, by its monotonic clock, seconds. Never mixed with `time`: the engine may
            run on another host.
        cpu: CPU counters.
        memory: gauges, with the fields derived from them.
        network: counters, no rates.
        block_io: counters, no rates.
        pids: gauges.
    """

    time: int
    arrived: float
    cpu: CpuReading
    memory: Memory | None
    network: Network | None
    block_io: BlockIo | None
    pids: Pids | None


class ReadingError(ValueError):
    """There is no reading. The message says what was found instead, and what is wrong with it."""


class ContainerNotRunningError(ReadingError):
    """The container does not run.

    For such a container an engine sends zeros, in a stream without end, and the kernel's files answer ENODEV.
    """
