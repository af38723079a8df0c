"""What a container used between two readings. Pure: times are data on the readings, and no clock is read.

The engine's own previous values (`precpu_stats`) are never used. They are zero in the first document of a stream, and
missing in one-shot documents and in Podman's. Where they exist, they cover the last second and not the interval.
"""

from math import inf
from typing import cast

from agent.messages.payloads import BlockIo, Cpu, Measurements, Network
from agent.metrics.reading import Reading
from agent.metrics.values import DECIMALS
from agent.runtime.timestamps import format_time

_NS_PER_SECOND = 1_000_000_000


def nomad_percent(new: int, old: int, new_total: int, old_total: int, cores: int) -> float:
    """Return the growth of a part in percent of the growth of its whole, times `cores`; 0 unless both have grown.

    Nomad's definition: CalculateCPUPercent in drivers/docker/util/util.go. There the differences are unsigned, and a
    counter that fell wraps to an absurd percentage (hashicorp/nomad#25594); here it gives 0.
    """
    if new <= old or new_total <= old_total:
        return 0.0
    return (new - old) / (new_total - old_total) * cores * 100


def elapsed_ns(previous: Reading, current: Reading) -> int:
    """Return the ns between two readings, correct also if the engine's clock was set in between.

    Three clocks are compared: the engine's clock, the CPU time of its host divided by the CPUs, and the agent's clock.
    The engine's clock is the finest. It is used unless the other two agree with each other but not with it. One of
    those two alone may be wrong: Podman's CPU time is not the host's, and documents that waited while the agent was
    held up arrive all at once.

    Returns:
        The time that passed, ns. Zero or negative if the readings are the same or out of order.
    """
    by_engine = current.time - previous.time
    if previous.cpu.host_total is None or current.cpu.host_total is None:
        return by_engine
    by_host = (current.cpu.host_total - previous.cpu.host_total) // current.cpu.online
    by_agent = int((current.arrived - previous.arrived) * _NS_PER_SECOND)
    if _differ(by_engine, by_host) and _differ(by_engine, by_agent) and not _differ(by_host, by_agent):
        return by_host
    return by_engine


def _differ(one: int, other: int) -> bool:
    gap = abs(one - other)
    # Documents may be a second or more late on a busy machine, and stolen CPU time is missing from the host's sum.
    return gap > 2 * _NS_PER_SECOND and gap * 10 > max(abs(one), abs(other))


def compute_usage(previous: Reading | None, current: Reading, core_mhz: float | None) -> Measurements | None:
    """Return what a container used between two readings.

    Args:
        previous: the reading before; None if there is none.
        current: the reading now. A part that it lacks is left out of the usage.
        core_mhz: the clock rate of one core of the engine's host, MHz. None if it is not known: then `total_ticks` is
            left out.

    Returns:
        The usage, without the rate of any counter that fell or was missing before. None if the usage is not known:
        there is no previous reading, no time passed, or the CPU counter fell because the container was restarted.
    """
    elapsed = elapsed_ns(previous, current) if previous else 0
    if not previous or elapsed <= 0 or current.cpu.total < previous.cpu.total:
        return None
    # In the order of the message: a line of it begins with what people look for.
    result = cast(Measurements, {})
    if current.cpu.is_measured:
        result["cpu"] = _cpu_usage(previous, current, elapsed, core_mhz)
    if current.memory is not None:
        result["memory"] = current.memory
    if current.network is not None:
        result["network"] = _with_network_rates(previous.network or {}, current.network, elapsed)
    if current.block_io is not None:
        result["block_io"] = _with_block_io_rates(previous.block_io or {}, current.block_io, elapsed)
    if current.pids is not None:
        result["pids"] = current.pids
    result["time"] = format_time(current.time)
    result["timestamp"] = current.time
    result["interval"] = elapsed / _NS_PER_SECOND
    return result


def _cpu_usage(previous: Reading, current: Reading, elapsed: int, core_mhz: float | None) -> Cpu:
    old, new = previous.cpu, current.cpu
    percent = _cpu_percent(previous, current, elapsed)
    host_percent = percent / new.online if percent < 100 * new.online else 100.0
    cpu: Cpu = {"percent": round(percent, DECIMALS), "host_percent": round(host_percent, DECIMALS)}
    # The parts and the total are counted with different resolutions, so the parts may exceed the total. Their sum then
    # is the whole: otherwise both modes together could be more than all CPUs.
    kernel, user = _increase(old.kernel, new.kernel), _increase(old.user, new.user)
    whole, parts = new.total - old.total, (kernel or 0) + (user or 0)
    if 0 < whole < parts:
        whole = parts
    if kernel is not None:
        cpu["system_mode"] = round(nomad_percent(kernel, 0, whole, 0, new.online), DECIMALS)
    if user is not None:
        cpu["user_mode"] = round(nomad_percent(user, 0, whole, 0, new.online), DECIMALS)
    if core_mhz is not None and 0 < core_mhz < inf:
        cpu["total_ticks"] = round(percent / 100 * core_mhz, DECIMALS)
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


def _cpu_percent(previous: Reading, current: Reading, elapsed: int) -> float:
    """Return the CPU time used, in percent of one core.

    The CPU time is divided by the time between the readings. Nomad and `docker stats` divide by the host's CPU time,
    which the kernel counts in ticks of 10 ms only.
    """
    used = current.cpu.total - previous.cpu.total
    percent = used / elapsed * 100
    known = 100.0 * current.cpu.online
    if percent <= known:
        return percent
    # An engine that is pinned to some CPUs knows only those, and its containers may use others: no limit is derived
    # from their number. But an engine's clock that was set back shortens the time, so the agent's clock is asked, too.
    by_agent = (current.arrived - previous.arrived) * _NS_PER_SECOND
    return max(known, min(percent, used / by_agent * 100)) if by_agent > 0 else percent


def _increase(old: int | None, new: int | None) -> int | None:
    """Return by how much a counter grew, 0 if it fell; None if it was not measured both times."""
    if old is None or new is None:
        return None
    return new - old if new > old else 0


def _with_network_rates(old: Network, new: Network, elapsed: int) -> Network:
    network = new.copy()
    if (rate := _rate(old.get("rx_bytes"), new.get("rx_bytes"), elapsed)) is not None:
        network["rx_rate"] = rate
    if (rate := _rate(old.get("tx_bytes"), new.get("tx_bytes"), elapsed)) is not None:
        network["tx_rate"] = rate
    return network


def _with_block_io_rates(old: BlockIo, new: BlockIo, elapsed: int) -> BlockIo:
    block_io = new.copy()
    if (rate := _rate(old.get("read_bytes"), new.get("read_bytes"), elapsed)) is not None:
        block_io["read_rate"] = rate
    if (rate := _rate(old.get("write_bytes"), new.get("write_bytes"), elapsed)) is not None:
        block_io["write_rate"] = rate
    return block_io


def _rate(old: int | None, new: int | None, elapsed: int) -> int | None:
    """Return the whole bytes per second; None without two values, or if the counter fell."""
    if old is None or new is None or new < old:
        return None
    return ((new - old) * _NS_PER_SECOND + elapsed // 2) // elapsed
