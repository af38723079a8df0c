"""Whether the kernel's files and the engine say the same about a container, field by field. Pure.

The engine is asked between two readings of the kernel's files. A counter must lie between the kernel's two values,
however long all three took; a gauge must be near them. Only what the engine measures can be compared.
"""

from collections.abc import Iterator, Mapping

from agent.metrics.reading import Reading

GAUGE_TOLERANCE = 0.05  # share of a gauge, which may change between two looks at it
_GAUGE_SLACK = {"memory": 1 << 16, "pids": 2}  # bytes and processes by which small containers may change

_CPU_COUNTERS = ("total", "kernel", "user", "throttled_periods", "throttled_time")
_CONSTANTS = ("online", "limit")
_GAUGES = {"memory": ("usage", "rss", "cache", "swap", "mapped_file", "used"), "pids": ("current",)}
_OPTIONAL_PARTS = ("network", "block_io")

Part = Mapping[str, object]


def find_mismatches(before: Reading, reported: Reading, after: Reading) -> dict[str, str]:
    """Return the fields in which kernel and engine differ, each with a sentence for the log.

    Args:
        before: the kernel's reading before the engine was asked.
        reported: the engine's reading.
        after: the kernel's reading after the engine has answered.

    Returns:
        By the field's path, such as `memory.usage`, or by a part's name where only the kernel has that part.
    """
    return dict(_mismatches(before, reported, after))


def _mismatches(before: Reading, reported: Reading, after: Reading) -> Iterator[tuple[str, str]]:
    kernel_parts, engine_parts = (_parts(before), _parts(after)), _parts(reported)
    for name, part in engine_parts.items():
        for field, value in part.items():
            known = [found for parts in kernel_parts if isinstance(found := parts[name].get(field), int)]
            if isinstance(value, int) and not (known and _agree(name, field, value, known)):
                found = " and then ".join(map(str, known)) or "nothing"
                yield f"{name}.{field}", f"{name}.{field} is {value} to the engine, {found} to the kernel"
    for name in _OPTIONAL_PARTS:
        if not engine_parts[name] and all(any(parts[name].values()) for parts in kernel_parts):
            yield name, f"{name} is known to the kernel alone"


def _agree(name: str, field: str, value: int, known: list[int]) -> bool:
    """Return whether the engine's value fits the kernel's values, of which there are one or two."""
    if field in _CONSTANTS:
        return value in known
    if field in _GAUGES.get(name, ()):
        slack = max(_GAUGE_SLACK[name], int(max(known) * GAUGE_TOLERANCE))
        return min(known) - slack <= value <= max(known) + slack
    # If only the second kernel reading has this counter, it started from 0 in between.
    return (known[0] if len(known) == 2 else 0) <= value <= known[-1]


def _parts(reading: Reading) -> dict[str, Part]:
    cpu = {field: getattr(reading.cpu, field) for field in (*_CPU_COUNTERS, "online")}
    parts: dict[str, Part | None] = {
        "cpu": cpu,
        "memory": reading.memory,
        "network": reading.network,
        "block_io": reading.block_io,
        "pids": reading.pids,
    }
    return {name: part or {} for name, part in parts.items()}
