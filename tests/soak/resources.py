"""What an agent holds: threads and descriptors, sorted so that agents with different sources can be compared.

What a container needs depends on its source. The kernel's files: a dozen descriptors and no thread. The engine: a
thread, and at times a connection. So totals say nothing: for twenty containers 12 threads and 250 descriptors are as
right as 32 threads and 40 descriptors.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from agent.containers.supervisor import MAX_WORKERS
from agent.engine.session import MAX_IDLE_CONNECTIONS

OWN_THREADS = 4 + MAX_WORKERS  # main, events, readings, publisher, and the workers (docs/architecture.md, Threads)
OWN_CONNECTIONS = 1 + MAX_IDLE_CONNECTIONS  # to the engine: the events, and those that wait for the next request
CONTAINER_ID = re.compile("[0-9a-f]{64}")
OF_PROCESS = re.compile(r"/proc/\d+/")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process holds at one moment.

    Attributes:
        threads: number of its threads.
        kernel_files: how often each cgroup and /proc file is open.
        engine_connections: number of connected unix sockets, which are those to the engine.
        others: number of all other descriptors.
    """

    threads: int
    kernel_files: Mapping[str, int]
    engine_connections: int
    others: int

    @property
    def read_from_kernel(self) -> set[str]:
        """The ids of the containers whose cgroup files are open."""
        return {found[0] for path in self.kernel_files if (found := CONTAINER_ID.search(path))}

    def own_threads(self, running: Set[str]) -> int:
        """Return the number of threads without those of the running containers that the engine is asked about."""
        return self.threads - len(running - self.read_from_kernel)

    def own_connections(self, running: Set[str]) -> int:
        """Return the number of connections to the engine without one for each container that it is asked about."""
        return self.engine_connections - len(running - self.read_from_kernel)


def held_by(pid: int) -> Resources:
    """Return what a process holds now."""
    targets: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            targets[str(link.readlink())] += 1
    lines = Path(f"/proc/{pid}/net/unix").read_text().splitlines()
    unix_sockets = {f"socket:[{line.split()[6]}]" for line in lines[1:]}
    kernel_files = {path: number for path, number in targets.items() if path.startswith(("/sys/", "/proc/"))}
    engine_connections = sum(number for target, number in targets.items() if target in unix_sockets)
    return Resources(
        threads=sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
        kernel_files=kernel_files,
        engine_connections=engine_connections,
        others=targets.total() - sum(kernel_files.values()) - engine_connections,
    )


def leaks(found: Resources, baseline: Resources, running: Set[str]) -> list[str]:
    """Return a violation for each kind of which an agent holds more than it needs.

    Args:
        found: what it holds while nothing changes.
        baseline: what it, or another agent, held before the faults, whatever the sources of the two are.
        running: the ids of all running containers.
    """
    violations = [f"{path} is open {number} times" for path, number in found.kernel_files.items() if number > 1]
    if ended := found.read_from_kernel - running:
        violations.append(f"files of containers that do not run are open: {', '.join(sorted(ended))}")
    of_processes = sum(1 for path in found.kernel_files if OF_PROCESS.match(path))
    limits = (
        ("files of processes", of_processes, len(found.read_from_kernel)),
        ("threads without those of containers", found.own_threads(running), OWN_THREADS),
        ("connections to the engine without those of containers", found.own_connections(running), OWN_CONNECTIONS),
        ("other descriptors", found.others, baseline.others),
    )
    return violations + [f"{number} {what}, at most {limit}" for what, number, limit in limits if number > limit]


def changes(samples: Sequence[tuple[Resources, Set[str]]]) -> list[str]:
    """Return a violation for each figure that differs by more than one between samples of an undisturbed agent.

    Connections to the engine are left out: how many are needed at once is up to chance, and `leaks` has their limit.

    Args:
        samples: what the agent held, with the ids of the containers that were running.
    """
    figures = {
        "threads without those of containers": [found.own_threads(running) for found, running in samples],
        "other descriptors": [found.others for found, _ in samples],
    }
    return [
        f"between {min(numbers)} and {max(numbers)} {what}"
        for what, numbers in figures.items()
        if numbers and max(numbers) - min(numbers) > 1
    ]
