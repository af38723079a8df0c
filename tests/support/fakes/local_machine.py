"""A machine of recorded files, and a fake engine on it that says the same."""

from pathlib import Path

from agent.collection.fallback import FallbackSource
from agent.collection.kernel_source import KernelSource
from agent.kernel.reader import KernelReader
from support.asking import connected
from support.fakes.container import Document
from support.fakes.engine import FakeEngine
from support.fakes.kernel_tree import RECORDED, RecordedTree

CASE = "docker-26.1-cgroup-v2-busy"
PID = 4242  # of the fake engine's containers


class Machine:
    """The fake engine with a container, and that container's files in the kernel, which say the same."""

    def __init__(self, fake: FakeEngine, directory: Path) -> None:
        fake.api, fake.tick = "1.45", 0.1
        self.fake = fake
        self.container = fake.run("web", case=CASE, cpu=0)
        self.container.change = stand_still
        self.tree = RecordedTree(directory, RECORDED / CASE, self.container.id, PID)
        self.tree.show("before first")
        self.agree()
        self.client = connected(fake.url)
        self.said: list[str] = []

    def agree(self) -> None:
        """Let the kernel say what the engine says."""
        idle = "usage_usec 0\nuser_usec 0\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"
        self.tree.change({"cpu.stat": idle, "memory.current": "1159168\n"})

    def auto(self) -> FallbackSource:
        """Return the source of an agent here; `said` is what its name became."""
        kernel = KernelSource(self.client, KernelReader(str(self.tree.proc), str(self.tree.cgroups)))
        made = FallbackSource(self.client, 0.5, kernel, lambda: self.said.append(made.name), first_retry=0)
        return made

    def asked(self) -> int:
        """Return how often the engine was asked for anything."""
        return self.client.counters()["requests"]


def stand_still(document: Document) -> None:
    """Keep the recorded network's figures, which the fake engine would let grow."""
    document["networks"]["eth0"] |= {"rx_bytes": 1182, "tx_bytes": 0}
