"""Containers that each use one resource, enough to be visible in that part of a reading."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from support.daemons.docker_cli import DockerCli

SPIN = ("sh", "-c", "while :; do :; done")
FILL = (
    "sh",
    "-c",
    "dd if=/dev/zero of=/big bs=1M count=30; dd if=/dev/zero of=/shm/big bs=1M count=20; exec sleep 1000",
)
WRITE = ("sh", "-c", "while :; do dd if=/dev/zero of=/data/file bs=64k count=8 conv=fsync; done 2>/dev/null")
FETCH = ("sh", "-c", "while :; do wget -q -O /dev/null http://$SERVER/busybox; done")
ADDRESS = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"


class Workloads:
    """Starts workloads on `engine`, whose images and volumes are below `data`; `network` is for those that need one."""

    def __init__(self, engine: DockerCli, data: Path) -> None:
        self.engine = engine
        self.disk = disk_below(data)
        self.network = f"talk-{uuid.uuid4().hex[:8]}"
        engine.docker("network", "create", self.network)
        server = engine.run("httpd", "-f", "-h", "/bin", network=self.network)
        self.server = engine.docker("inspect", f"--format={ADDRESS}", server)

    def busy(self) -> str:
        """Start a container that computes."""
        return self.engine.run(*SPIN, cpus=0.5)

    def throttled(self) -> str:
        """Start a container that is throttled by its CPU limit."""
        return self.engine.run(*SPIN, cpus=0.1, memory="64m", pids_limit=50)

    def memory_heavy(self) -> str:
        """Start a container with memory on a tmpfs and page cache."""
        return self.engine.run(*FILL, memory="128m", tmpfs=["/shm"])

    def disk_busy(self) -> str:
        """Start a container that writes to a disk."""
        # cgroup v1 counts the block I/O of a disk only if there is a limit for it.
        return self.engine.run(*WRITE, volume=["/data"], device_write_bps=[f"{self.disk}:4mb"] if self.disk else [])

    def talking(self) -> str:
        """Start a container that fetches files from another one."""
        return self.engine.run(*FETCH, network=self.network, cpus=0.3, env={"SERVER": self.server})

    def host_network(self) -> str:
        """Start a container in the host's network namespace."""
        return self.engine.run(*SPIN, network="host", cpus=0.1)

    def shared_network(self) -> str:
        """Start a container in the network namespace of another one with traffic."""
        return self.engine.run(*SPIN, network=f"container:{self.talking()}", cpus=0.1)

    def shared_host_network(self) -> str:
        """Start a container in the network namespace of another one, which is the host's."""
        return self.engine.run(*SPIN, network=f"container:{self.host_network()}", cpus=0.1)

    def close(self) -> None:
        """Remove the network and all containers in it."""
        containers = self.engine.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"network={self.network}")
        try:
            self.engine.remove(*containers.split())
        except AssertionError:  # on a loaded machine a throttled container takes long to end
            self.engine.remove(*containers.split())
        self.engine.docker("network", "rm", self.network)


MEASURED: dict[Callable[[Workloads], str], set[str]] = {
    Workloads.busy: set(),
    Workloads.throttled: set(),
    Workloads.memory_heavy: set(),
    Workloads.disk_busy: {"block_io"},
    Workloads.talking: {"network"},
    Workloads.host_network: set(),
    Workloads.shared_network: {"network"},
    Workloads.shared_host_network: set(),
}
"""By workload: the parts of a reading besides CPU, memory and pids."""


def disk_below(path: Path) -> str | None:
    """Return the disk, not the partition, that a directory is on; None if it is on no disk."""
    number = path.stat().st_dev
    place = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    if not place.exists():
        return None
    return f"/dev/{place.parent.name if (place / 'partition').exists() else place.name}"
