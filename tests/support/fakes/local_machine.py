"""A machine with a fake engine and recorded kernel files that agree with each other."""

from pathlib import Path

from agent.collection.fallback import FallbackSource
from agent.collection.kernel_source import KernelSource
from agent.kernel.reader import KernelReader
from support.engine_client import connected
from support.fakes.container import Document
from support.fakes.engine import FakeEngine
from support.fakes.kernel_tree import RECORDED, RecordedTree

CASE = "docker-26.1-cgroup-v2-busy"
PID = 4242  # in the fake engine's inspect documents


class LocalMachine:
    """The fake engine with one container, whose kernel files show the same values; `client` is connected to it.

    `source_names` are the names that the source of `fallback_source` changed to.
    """

    def __init__(self, fake: FakeEngine, directory: Path) -> None:
        fake.api, fake.tick = "1.45", 0.1
        self.fake = fake
        self.container = fake.run("web", case=CASE, cpu=0)
        self.container.change = freeze_network
        self.tree = RecordedTree(directory, RECORDED / CASE, self.container.id, PID)
        self.tree.show("before first")
        self.show_engine_values()
        self.client = connected(fake.url)
        self.source_names: list[str] = []

    def show_engine_values(self) -> None:
        """Write the values that the engine reports into the kernel files."""
        idle = "usage_usec 0\nuser_usec 0\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"
        self.tree.change({"cpu.stat": idle, "memory.current": "1159168\n"})

    def fallback_source(self) -> FallbackSource:
        """Return the source of an agent on this machine, which tries the kernel files again at once."""
        kernel = KernelSource(self.client, KernelReader(str(self.tree.proc), str(self.tree.cgroups)))
        made = FallbackSource(self.client, 0.5, kernel, lambda: self.source_names.append(made.name), first_retry=0)
        return made

    def request_count(self) -> int:
        """Return the number of requests to the engine."""
        return self.client.counters()["requests"]


def freeze_network(document: Document) -> None:
    """Keep the recorded network counters, which the fake engine would increase."""
    document["networks"]["eth0"] |= {"rx_bytes": 1182, "tx_bytes": 0}
