"""Whether the kernel's files and the engine say the same about a container, field by field. Pure.

`kernel_source.py` asks this for each of a few attempts, and decides.

The engine is asked between two readings of the kernel's files. A counter must lie between the kernel's two values,
however long all three took; a gauge must be near them. Only what the engine measures can be compared.

What says nothing about the container is not compared, or a correct file would be refused for ever:

- `cpu.online`, `cpu.host_total`: figures of the host. An engine that is pinned to some CPUs (CPUAffinity=) counts only
  those CPUs.
- `cpu.kernel`, `cpu.user`: the kernel's estimate of how `cpu.total`, which is compared, divides. Its files scale and
  round it differently, and engines read different ones: on cgroup v1 Docker reads cpuacct.stat, Podman
  cpuacct.usage_sys. For a container throttled to 0.02 CPUs they were 40 % of the total apart.
- Throttling of a container without a CPU quota: engines write zeros also where there is no CPU controller to count.
- A limit that the cgroup does not have: engines write their host's memory instead, as it was when they started.
- `memory.used` of an engine that does not report the page cache (Podman), which has to be subtracted.
"""

from collections.abc import Mapping

from agent.metrics.reading import Reading

GAUGE_TOLERANCE = 0.05  # share by which a gauge may change between two looks at it
_GAUGE_SLACK = {"memory": 1 << 16, "pids": 2}  # bytes and processes by which small containers may change

_THROTTLING = ("throttled_periods", "throttled_time")
_GAUGES = {"memory": ("usage", "rss", "cache", "swap", "mapped_file", "used"), "pids": ("current",)}
_OPTIONAL_PARTS = ("network", "block_io")

Part = Mapping[str, object]


def find_mismatches(
    before: Reading, reported: Reading, after: Reading, *, cpu_limited: bool, memory_limited: bool
) -> dict[str, str]:
    """Return the fields in which kernel and engine differ, each with a sentence for the log.

    Args:
        before: the kernel's reading before the engine was asked.
        reported: the engine's reading.
        after: the kernel's reading after the engine has answered.
        cpu_limited: whether the container has a CPU quota.
        memory_limited: whether the container has a memory limit of its own.

    Returns:
        The sentences by field, such as `memory.usage`, or by part, such as `network`, if only the kernel has the part.
    """
    kernel = (_parts(before), _parts(after))
    ignored = {
        "cpu": () if cpu_limited else _THROTTLING,
        "memory": (
            *(() if memory_limited else ("limit",)),
            *(() if "cache" in (reported.memory or {}) else ("used",)),
        ),
        "pids": () if any("limit" in parts["pids"] for parts in kernel) else ("limit",),
    }
    mismatches: dict[str, str] = {}
    for name, part in _parts(reported).items():
        compared = {field: value for field, value in part.items() if field not in ignored.get(name, ())}
        found = _compare(name, compared, kernel)
        # Podman before 4.4 takes received for sent bytes, and reports nothing else of a network:
        # https://github.com/containers/podman/issues/16618
        if found and compared.keys() == {"rx_bytes", "tx_bytes"}:
            exchanged = {"rx_bytes": compared["tx_bytes"], "tx_bytes": compared["rx_bytes"]}
            found = found if _compare(name, exchanged, kernel) else {}
        mismatches |= found
    return mismatches


def _compare(name: str, part: Part, kernel: tuple[dict[str, Part], ...]) -> dict[str, str]:
    """Return the fields in which one part of the engine's reading differs, or the part's name if it lacks the part."""
    if name in _OPTIONAL_PARTS and not part and all(any(parts[name].values()) for parts in kernel):
        return {name: f"{name} is known to the kernel alone"}
    mismatches = {}
    for field, value in part.items():
        known = [found for parts in kernel if isinstance(found := parts[name].get(field), int)]
        if isinstance(value, int) and not (known and _agree(name, field, value, known)):
            shown = " and then ".join(map(str, known)) or "nothing"
            mismatches[f"{name}.{field}"] = f"{name}.{field} is {value} to the engine, {shown} to the kernel"
    return mismatches


def _agree(name: str, field: str, value: int, known: list[int]) -> bool:
    """Return whether the engine's value agrees with the kernel's: `known` has one or two values of the field."""
    if field == "limit":
        return value in known
    if field in _GAUGES.get(name, ()):
        slack = max(_GAUGE_SLACK[name], int(max(known) * GAUGE_TOLERANCE))
        return min(known) - slack <= value <= max(known) + slack
    # If only the second kernel reading has this counter, it started from 0 in between.
    return (known[0] if len(known) == 2 else 0) <= value <= known[-1]


def _parts(reading: Reading) -> dict[str, Part]:
    parts: dict[str, Part | None] = {
        "cpu": {field: getattr(reading.cpu, field) for field in ("total", *_THROTTLING)},
        "memory": reading.memory,
        "network": reading.network,
        "block_io": reading.block_io,
        "pids": reading.pids,
    }
    return {name: part or {} for name, part in parts.items()}
