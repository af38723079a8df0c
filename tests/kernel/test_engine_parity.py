"""A real engine and the kernel's files agree about the same container, field by field."""

import threading
from collections.abc import Callable, Iterator

import pytest
from support.assertions.engine_and_kernel import PARTS, EngineAndKernel
from support.daemons.dockerd import PrivateEngine
from support.daemons.workloads import MEASURED, Workloads
from support.engine_client import connected


@pytest.fixture
def workloads(engine: PrivateEngine) -> Iterator[Workloads]:
    """Give workloads, each of which starts a container."""
    made = Workloads(engine, engine.directory)
    yield made
    made.close()


@pytest.mark.parametrize("start", MEASURED, ids=lambda start: start.__name__)
def test_engine_and_kernel_agree(
    engine: PrivateEngine, workloads: Workloads, start: Callable[[Workloads], str]
) -> None:
    """Every field that the engine reports agrees, twice within some seconds, whatever the container does."""
    both = EngineAndKernel(connected(engine.url), start(workloads))
    first = both.agreed()
    threading.Event().wait(2)  # so that counters have grown
    second = both.agreed()
    both.files.close()
    expected = {"memory", "pids"} | MEASURED[start]
    if start is Workloads.disk_busy and not workloads.disk:
        expected.remove("block_io")  # cgroup v1 counts block I/O only for a disk with a limit
    for earlier, later in zip(first, second, strict=True):
        found = {part for part in PARTS if getattr(later, part)}
        # While any container has a limit for the disk, cgroup v1 counts the block I/O of all.
        assert expected <= found <= expected | {"block_io"}
        assert later.cpu.total > earlier.cpu.total or start is Workloads.memory_heavy
        assert later.cpu.throttled_periods or start is not Workloads.throttled
