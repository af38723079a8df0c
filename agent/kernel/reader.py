"""Readings straight from the files of this machine's kernel, and the clock rate of its CPUs.

The same numbers that an engine on this machine would read, for a fiftieth of what asking it costs. Nothing here knows
the engine; whether its numbers are the same is for others to prove (see kernel_source.py).
"""

import os
import time
from collections.abc import Set
from threading import Lock

from agent.kernel.cgroup_paths import MOUNT, paths, unified
from agent.kernel.cgroup_v1 import CgroupV1
from agent.kernel.cgroup_v2 import CgroupV2
from agent.kernel.files import KernelFiles, KernelUnreadableError
from agent.kernel.host import Host
from agent.kernel.network import NetworkInterfaces
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.limits import DescriptorBudget


class KernelReader:
    """The files below `proc` and `cgroups`: by default those mounted at /host, as for an agent in a container, if any.

    From any thread; nothing is opened before it is asked for.
    """

    def __init__(
        self, proc: str | None = None, cgroups: str | None = None, descriptors: DescriptorBudget | None = None
    ) -> None:
        self._descriptors = descriptors or DescriptorBudget()
        self._proc = proc or _mounted("/host/proc", "/proc")
        self._cgroups = cgroups or _mounted("/host/sys/fs/cgroup", "/sys/fs/cgroup")
        self._lock = Lock()
        self._host: Host | None = None

    def open(self, container_id: str, pid: int, host_network: bool) -> "ContainerFiles":
        """Open the files of a running container, whose first process is `pid`. Raises KernelUnreadableError.

        `host_network`: what its interfaces carry is the host's, and not counted.
        """
        with self._lock:
            if self._host is None:
                self._host = Host(self._proc, self._descriptors)
        process = f"{self._proc}/{pid}"
        files = KernelFiles(self._descriptors)
        try:
            cgroup = self._open_cgroup(files, self._host, process, container_id)
            return ContainerFiles(files, cgroup, None if host_network else NetworkInterfaces(files, process))
        except BaseException:
            files.close()
            raise

    def _open_cgroup(self, files: KernelFiles, host: Host, process: str, container_id: str) -> CgroupV1 | CgroupV2:
        version_2 = unified(self._cgroups)
        found = paths(process, container_id)
        if version_2:
            places = {"": f"{self._cgroups}{found.get('', '')}"}
        else:
            places = {controller: f"{self._cgroups}/{controller}{path}" for controller, path in found.items()}
        if not any(map(os.path.isdir, places.values())):
            raise KernelUnreadableError(f"{next(iter(places.values()))} is not there; {MOUNT}")
        return CgroupV2(files, host, places[""]) if version_2 else CgroupV1(files, host, places)


class ContainerFiles:
    """The files of one run of a container. Close them after use."""

    def __init__(self, files: KernelFiles, cgroup: CgroupV1 | CgroupV2, interfaces: NetworkInterfaces | None) -> None:
        self._files = files
        self._cgroup = cgroup
        self._interfaces = interfaces

    def count_interfaces(self, listed: Set[str]) -> None:
        """Have these network interfaces counted, which are the engine's, whatever their names."""
        if self._interfaces:
            self._interfaces.listed = listed

    def read(self) -> Reading:
        """Return what they say now. Raises ContainerNotRunningError, and KernelUnreadableError."""
        try:
            cgroup = self._cgroup
            pids = cgroup.pids()
            if pids and pids.get("current") == 0:
                raise ContainerNotRunningError("there is no process in the container's cgroup")
            now = time.time_ns()
            return Reading(
                time=now,
                cpu=cgroup.cpu(),
                arrived=time.monotonic(),
                memory=cgroup.memory(),
                network=self._interfaces.read() if self._interfaces else None,
                block_io=cgroup.block_io(),
                pids=pids,
            )
        except ReadingError:
            raise
        except (ValueError, KeyError) as error:
            raise KernelUnreadableError(f"the kernel's files cannot be understood: {error!r}") from error

    def close(self) -> None:
        """Close them."""
        self._files.close()


def _mounted(*places: str) -> str:
    return next((place for place in places if os.path.isdir(place)), places[-1])  # noqa: PTH112
