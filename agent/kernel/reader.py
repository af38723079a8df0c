"""Readings of containers from the cgroup and /proc files of this machine.

They have the numbers that an engine on this machine would report, at a fiftieth of the cost of asking it. Whether files
and engine agree is verified elsewhere: see agent/collection/verification.py.
"""

import os
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from threading import Lock

from agent.kernel.cgroup import Cgroup
from agent.kernel.cgroup_paths import CGROUP_REMEDY, find_cgroup_paths, is_unified
from agent.kernel.cgroup_v1 import CgroupV1
from agent.kernel.cgroup_v2 import CgroupV2
from agent.kernel.files import (
    PROC_DIRECTORIES,
    KernelFiles,
    KernelUnreadableError,
    first_directory,
    translate_parse_errors,
)
from agent.kernel.host import Host
from agent.kernel.network import NetworkInterfaces
from agent.kernel.run import ContainerRun
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.limits import DescriptorBudget


class KernelReader:
    """Opens the files of containers. Thread-safe; opens nothing before the first container.

    Args:
        proc: where the process file system is mounted; None for the first of PROC_DIRECTORIES that exists.
        cgroups: where the cgroups are mounted; None for /host/sys/fs/cgroup if it exists, else /sys/fs/cgroup.
        descriptors: the file descriptors that readings may use; None for a budget of its own.
    """

    def __init__(
        self, proc: str | None = None, cgroups: str | None = None, descriptors: DescriptorBudget | None = None
    ) -> None:
        self._descriptors = descriptors or DescriptorBudget()
        self._proc = proc or first_directory(*PROC_DIRECTORIES)
        self._cgroups = cgroups or first_directory("/host/sys/fs/cgroup", "/sys/fs/cgroup")
        self._lock = Lock()  # guards the creation of `_host`, and nothing else
        self._host: Host | None = None

    def open(self, container_id: str, pid: int, host_network: bool) -> "ContainerFiles":
        """Open the files of a running container.

        Args:
            container_id: the container's id, which is part of the name of its cgroup.
            pid: the container's first process.
            host_network: whether the container uses the network of the host, which is not counted as its own.

        Raises:
            KernelUnreadableError: the files cannot be used; the message names the file and the remedy.
        """
        with self._lock:
            if self._host is None:
                self._host = Host(self._proc, self._descriptors)
        process = f"{self._proc}/{pid}"
        files = KernelFiles(self._descriptors)
        try:
            with translate_parse_errors("the kernel's files"):
                unified = is_unified(self._cgroups)
                found = find_cgroup_paths(process, container_id)
                cgroup = self._open_cgroup(files, self._host, found, unified)
                interfaces = None if host_network else NetworkInterfaces(files, process)
                return ContainerFiles(files, cgroup, interfaces, self._find_run(pid, found, unified))
        except BaseException:
            files.close()
            raise

    def _open_cgroup(self, files: KernelFiles, host: Host, found: Mapping[str, str], unified: bool) -> Cgroup:
        if unified:
            directories = {"": f"{self._cgroups}{found.get('', '')}"}
        else:
            directories = {controller: f"{self._cgroups}/{controller}{path}" for controller, path in found.items()}
        if not any(map(os.path.isdir, directories.values())):
            raise KernelUnreadableError(f"{next(iter(directories.values()))} is not there; {CGROUP_REMEDY}")
        return CgroupV2(files, host, directories[""]) if unified else CgroupV1(files, host, directories)

    def _find_run(self, pid: int, found: Mapping[str, str], unified: bool) -> ContainerRun | None:
        """Return the container's run as the kernel shows it; None if its process or its cgroup cannot be looked at.

        `found` has the cgroup's path by controller; with cgroup v2 there is one path, and its controller is "".
        """
        controller = "" if unified else "pids" if "pids" in found else "cpuacct"
        mount = f"{self._cgroups}/{controller}" if controller else self._cgroups
        with suppress(OSError, ValueError, IndexError):
            return ContainerRun(self._proc, pid, mount, found[controller])
        return None


class ContainerFiles:
    """The open files of one run of a container. Close them after use.

    Attributes:
        kernel_run: shows whether the run goes on, also after `close`; None if the kernel does not tell.
    """

    def __init__(
        self, files: KernelFiles, cgroup: Cgroup, interfaces: NetworkInterfaces | None, kernel_run: ContainerRun | None
    ) -> None:
        self.kernel_run = kernel_run
        self._files = files
        self._cgroup = cgroup
        self._interfaces = interfaces

    def set_engine_interfaces(self, names: Set[str]) -> None:
        """Count these network interfaces, which the engine reported, whatever their names are."""
        if self._interfaces:
            self._interfaces.engine_names = names

    def read(self) -> Reading:
        """Return a reading taken now.

        Raises:
            ContainerNotRunningError: the cgroup is gone or has no process.
            KernelUnreadableError: a file cannot be read or parsed.
        """
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
        except (ValueError, KeyError) as error:  # as translate_parse_errors() does, whose block costs time
            raise KernelUnreadableError(f"the kernel's files cannot be understood: {error!r}") from error

    @property
    def cpu_limited(self) -> bool:
        """Whether the container had a CPU quota when its files were opened."""
        return self._cgroup.cpu_limited

    @property
    def memory_limited(self) -> bool:
        """Whether the container has a memory limit of its own. Raises as `read` does."""
        with translate_parse_errors("the kernel's files"):
            return self._cgroup.memory_limited

    def close(self) -> None:
        """Close the files."""
        self._files.close()
