"""The same container read both ways: by the engine, and by the agent from the kernel's files."""

from typing import Any

from agent.engine import stats
from agent.engine.client import EngineClient
from agent.kernel.reader import ContainerFiles, KernelReader
from agent.metrics.reading import Reading
from agent.runtime.cancel import CancelToken

COUNTERS, GAUGES = 0.02, 0.05
PAGE = 4096
ATTEMPTS = 40  # on a busy machine time passes between two looks, and page cache comes and goes meanwhile

CPU = ("total", "kernel", "user", "system", "online", "throttled_periods", "throttled_time")
PARTS = ("memory", "network", "block_io", "pids")


class BothWays:
    """Reads a container that runs; `files` are the kernel's."""

    def __init__(self, engine: EngineClient, container: str) -> None:
        self._engine = engine
        self._container = container
        document = engine.inspect(container)
        self.files: ContainerFiles = KernelReader().open(
            container, document["State"]["Pid"], self._host_network(document)
        )

    def agreed(self) -> tuple[Reading, Reading]:
        """Return what the engine says and what the kernel says, once every field was seen to be the same."""
        doubts: set[str] | None = None
        for _ in range(ATTEMPTS):
            before = self.files.read()
            raw = self._engine.stats_once(self._container, CancelToken())
            after = self.files.read()
            told = stats.parse_stats(raw, after.arrived)
            found = differences(before, told, after)
            doubts = found if doubts is None else doubts & found
            if not doubts:
                return told, after
        raise AssertionError({name: [flat(each).get(name) for each in (before, told, after)] for name in doubts or ()})

    def _host_network(self, document: dict[str, Any]) -> bool:
        mode: str = document["HostConfig"]["NetworkMode"]
        shared, _, other = mode.partition(":")
        return self._host_network(self._engine.inspect(other)) if shared == "container" else mode == "host"


def differences(before: Reading, told: Reading, after: Reading) -> set[str]:
    """Return where the engine is neither between the kernel's two readings nor close to one of them."""
    ours, theirs = (flat(before), flat(after)), flat(told)
    known = {name for each in ours for name in each}
    extra = {name for name in known - theirs.keys() if name.startswith(("network", "block_io"))}
    return {name for name, value in theirs.items() if not _near(name, value, *ours)} | extra


def flat(reading: Reading) -> dict[str, float]:
    """Return all numbers of a reading by their names."""
    found = {f"cpu.{name}": value for name in CPU if (value := getattr(reading.cpu, name)) is not None}
    for part in PARTS:
        fields: dict[str, Any] = getattr(reading, part) or {}
        found |= {f"{part}.{name}": value for name, value in fields.items() if isinstance(value, int)}
    return found


def _near(name: str, value: float, *ours: dict[str, float]) -> bool:
    known = [each[name] for each in ours if name in each]
    if not known:
        return False
    if min(known) <= value <= max(known):
        return True
    if name.startswith("memory") and name != "memory.max_usage":
        return any(abs(value - each) <= max(GAUGES * each, PAGE) for each in known)
    return any(abs(value - each) <= COUNTERS * each for each in known)
