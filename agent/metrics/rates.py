"""Two readings make a usage: what a container used between them.

Pure: times are data on the readings, no clock is asked. The engine's own `precpu_stats` is never used: in a stream's
first document it is zero, one-shot documents and Podman have none, and it is of the last second, not of the interval.
"""

from math import inf

from agent.messages.payloads import BlockIo, Cpu, Measurements, Network
from agent.metrics.reading import CpuReading, Reading
from agent.runtime.timestamps import format_time

_NS_PER_SECOND = 1_000_000_000


def nomad_percent(new: int, old: int, new_total: int, old_total: int, cores: int) -> float:
    """Return Nomad's percentage: the change of a part over the change of its whole, times cores; 0 unless both grew."""
    if new <= old or new_total <= old_total:
        return 0.0
    return (new - old) / (new_total - old_total) * cores * 100


def elapsed_ns(previous: Reading, current: Reading) -> int:
    """Return the ns between two readings, also when the engine's clock was set in between; may be <= 0.

    Three witnesses: the engine's clock, its host's CPU time over CPUs, the agent's clock. The first is the finest, and
    believed unless the other two agree against it. Either of them may be wrong alone: Podman's CPU time is not the
    host's, and documents that were waiting while the agent was held up arrive all at once.
    """
    read = current.time - previous.time
    if previous.cpu.system is None or current.cpu.system is None:
        return read
    host = (current.cpu.system - previous.cpu.system) // current.cpu.online
    arrived = int((current.arrived - previous.arrived) * _NS_PER_SECOND)
    if _differ(read, host) and _differ(read, arrived) and not _differ(host, arrived):
        return host
    return read


def _differ(one: int, other: int) -> bool:
    gap = abs(one - other)
    # Documents may be a second late or more on a busy machine, and stolen CPU time is missing from the host's.
    return gap > 2 * _NS_PER_SECOND and gap * 10 > max(abs(one), abs(other))


def compute_usage(previous: Reading | None, current: Reading, core_mhz: float | None) -> Measurements | None:
    """Return what was used between two readings of one container.

    None where that cannot be known: there is no reading before, the container's CPU counter went back (it was
    restarted) or no time passed. A part that
    `current` lacks is left out, and so is a rate whose counter fell or was missing before. `core_mhz` is the clock
    rate of one of the engine's cores; unknown: no ticks.
    """
    time = elapsed_ns(previous, current) if previous else 0
    if not previous or time <= 0 or current.cpu.total < previous.cpu.total:
        return None
    result: Measurements = {
        "time": format_time(current.time),
        "timestamp": current.time,
        "interval": time / _NS_PER_SECOND,
        "cpu": _cpu(previous.cpu, current.cpu, time, core_mhz),
    }
    if current.memory is not None:
        result["memory"] = current.memory
    if current.network is not None:
        result["network"] = _network(previous.network or {}, current.network, time)
    if current.block_io is not None:
        result["block_io"] = _block_io(previous.block_io or {}, current.block_io, time)
    if current.pids is not None:
        result["pids"] = current.pids
    return result


def _cpu(old: CpuReading, new: CpuReading, time: int, core_mhz: float | None) -> Cpu:
    # Over the change of `read`, which is finer than the 10 ms ticks of the host's CPU time. The two are not taken at
    # the same instant, so that a wholly busy container may seem to use more than there is.
    percent = min((new.total - old.total) / time * 100, 100.0 * new.online)
    cpu: Cpu = {"percent": percent, "host_percent": percent / new.online}
    if new.kernel is not None and old.kernel is not None:
        cpu["system_mode"] = nomad_percent(new.kernel, old.kernel, new.total, old.total, new.online)
    if new.user is not None and old.user is not None:
        cpu["user_mode"] = nomad_percent(new.user, old.user, new.total, old.total, new.online)
    if core_mhz is not None and 0 < core_mhz < inf:
        cpu["total_ticks"] = percent / 100 * core_mhz
    cpu["total"] = new.total
    measured = []
    if new.throttled_periods is not None:
        cpu["throttled_periods"] = new.throttled_periods
        measured.append("Throttled Periods")
    if new.throttled_time is not None:
        cpu["throttled_time"] = new.throttled_time
        measured.append("Throttled Time")
    measured.append("Percent")
    cpu["online"] = new.online
    cpu["measured"] = measured
    return cpu


def _network(old: Network, new: Network, time: int) -> Network:
    network = new.copy()
    if (rate := _rate(old.get("rx_bytes"), new.get("rx_bytes"), time)) is not None:
        network["rx_rate"] = rate
    if (rate := _rate(old.get("tx_bytes"), new.get("tx_bytes"), time)) is not None:
        network["tx_rate"] = rate
    return network


def _block_io(old: BlockIo, new: BlockIo, time: int) -> BlockIo:
    block_io = new.copy()
    if (rate := _rate(old.get("read_bytes"), new.get("read_bytes"), time)) is not None:
        block_io["read_rate"] = rate
    if (rate := _rate(old.get("write_bytes"), new.get("write_bytes"), time)) is not None:
        block_io["write_rate"] = rate
    return block_io


def _rate(old: int | None, new: int | None, time: int) -> float | None:
    if old is None or new is None or new < old:
        return None
    return (new - old) * _NS_PER_SECOND / time
