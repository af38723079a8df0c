"""Whether the kernel's files say what the engine says. Pure.

The engine is asked between two readings of the kernel's: what only grows must lie between them, whatever the time all
three took, and what goes up and down must be near. Only what the engine measures can be compared.
"""

from collections.abc import Iterator, Mapping

from agent.metrics.reading import Reading

TOLERANCE = 0.05  # of a gauge, which may go up and down between two looks at it
_SLACK = {"memory": 1 << 16, "pids": 2}  # bytes, processes: what small containers come and go by

_CPU = ("total", "kernel", "user", "throttled_periods", "throttled_time")
_CONSTANTS = ("online", "limit")
_GAUGES = {"memory": ("usage", "rss", "cache", "swap", "mapped_file", "used"), "pids": ("current",)}
_PARTS = ("network", "block_io")

Part = Mapping[str, object]


def find_mismatches(before: Reading, told: Reading, after: Reading) -> dict[str, str]:
    """Say by field where the kernel's readings `before` and `after` contradict what the engine `told` in between."""
    return dict(_mismatches(before, told, after))


def _mismatches(before: Reading, told: Reading, after: Reading) -> Iterator[tuple[str, str]]:
    ours, theirs = (_parts(before), _parts(after)), _parts(told)
    for name, part in theirs.items():
        for field, value in part.items():
            known = [kernel for each in ours if isinstance(kernel := each[name].get(field), int)]
            if isinstance(value, int) and not (known and _agree(name, field, value, known)):
                found = " and then ".join(map(str, known)) or "nothing"
                yield f"{name}.{field}", f"{name}.{field} is {value} to the engine, {found} to the kernel"
    for name in _PARTS:
        if not theirs[name] and all(any(each[name].values()) for each in ours):
            yield name, f"{name} is known to the kernel alone"


def _agree(name: str, field: str, value: int, known: list[int]) -> bool:
    if field in _CONSTANTS:
        return value in known
    if field in _GAUGES.get(name, ()):
        slack = max(_SLACK[name], int(max(known) * TOLERANCE))
        return min(known) - slack <= value <= max(known) + slack
    # The first look may have come before there was anything to count.
    return (known[0] if len(known) == 2 else 0) <= value <= known[-1]


def _parts(reading: Reading) -> dict[str, Part]:
    cpu = {field: getattr(reading.cpu, field) for field in (*_CPU, "online")}
    parts: dict[str, Part | None] = {
        "cpu": cpu,
        "memory": reading.memory,
        "network": reading.network,
        "block_io": reading.block_io,
        "pids": reading.pids,
    }
    return {name: part or {} for name, part in parts.items()}
