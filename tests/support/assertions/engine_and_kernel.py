"""One container read twice: from the engine, and from the kernel's files."""

from typing import Any

from agent.engine import stats
from agent.engine.client import EngineClient
from agent.kernel.reader import ContainerFiles, KernelReader
from agent.metrics.reading import Reading
from agent.runtime.cancel import CancelToken

COUNTER_TOLERANCE, GAUGE_TOLERANCE = 0.02, 0.05
PAGE_BYTES = 4096
ATTEMPTS = 40  # on a busy machine time passes between two readings, and page cache comes and goes

CPU_FIELDS = ("total", "kernel", "user", "host_total", "online", "throttled_periods", "throttled_time")
PARTS = ("memory", "network", "block_io", "pids")


class EngineAndKernel:
    """A running container, its engine, and its kernel files in `files`."""

    def __init__(self, engine: EngineClient, container: str) -> None:
        self._engine = engine
        self._container = container
        document = engine.inspect(container)
        self.files: ContainerFiles = KernelReader().open(
            container, document["State"]["Pid"], self._host_network(document)
        )

    def agreed(self) -> tuple[Reading, Reading]:
        """Return the readings of the engine and of the kernel, as soon as every field has agreed once."""
        mismatches: set[str] | None = None
        for _ in range(ATTEMPTS):
            before = self.files.read()
            raw = self._engine.stats_once(self._container, CancelToken())
            after = self.files.read()
            reported = stats.parse_stats(raw, after.arrived)
            found = differences(before, reported, after)
            mismatches = found if mismatches is None else mismatches & found
            if not mismatches:
                return reported, after
        raise AssertionError(
            {name: [flat(each).get(name) for each in (before, reported, after)] for name in mismatches or ()}
        )

    def _host_network(self, document: dict[str, Any]) -> bool:
        mode: str = document["HostConfig"]["NetworkMode"]
        shared, _, other = mode.partition(":")
        return self._host_network(self._engine.inspect(other)) if shared == "container" else mode == "host"


def differences(before: Reading, reported: Reading, after: Reading) -> set[str]:
    """Return the fields in which the engine is neither between the kernel's two readings nor close to one of them."""
    kernel, engine = (flat(before), flat(after)), flat(reported)
    known = {name for each in kernel for name in each}
    extra = {name for name in known - engine.keys() if name.startswith(("network", "block_io"))}
    return {name for name, value in engine.items() if not _near(name, value, *kernel)} | extra


def flat(reading: Reading) -> dict[str, float]:
    """Return all numbers of a reading by their names, such as "memory.usage"."""
    found = {f"cpu.{name}": value for name in CPU_FIELDS if (value := getattr(reading.cpu, name)) is not None}
    for part in PARTS:
        fields: dict[str, Any] = getattr(reading, part) or {}
        found |= {f"{part}.{name}": value for name, value in fields.items() if isinstance(value, int)}
    return found


def _near(name: str, value: float, *kernel: dict[str, float]) -> bool:
    known = [each[name] for each in kernel if name in each]
    if not known:
        return False
    if min(known) <= value <= max(known):
        return True
    if name.startswith("memory") and name != "memory.max_usage":
        return any(abs(value - each) <= max(GAUGE_TOLERANCE * each, PAGE_BYTES) for each in known)
    return any(abs(value - each) <= COUNTER_TOLERANCE * each for each in known)
