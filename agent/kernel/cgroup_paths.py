"""Where the files of a container are: in the cgroup of its first process, a directory named after the container.

    /proc/42/cgroup   0::/system.slice/docker-<id>.scope/init.scope     the process may have moved to a child
    cgroup            /system.slice/docker-<id>.scope                   cut after the directory with the id
    files             /sys/fs/cgroup/system.slice/docker-<id>.scope/*

The format is described in cgroups(7), "/proc files".
"""

import os

from agent.kernel.cgroup_v1 import CONTROLLERS
from agent.kernel.files import KernelUnreadableError

# All three options at once, because all are needed: the user has to replace the container for each change of options.
CGROUP_REMEDY = (
    "in a container: --volume=/proc:/host/proc:ro --volume=/sys/fs/cgroup:/host/sys/fs/cgroup:ro --cgroupns=host"
)
PROC_REMEDY = f"does the engine run on this machine? Under systemd: ProtectProc=default; {CGROUP_REMEDY}"
NAMESPACE_REMEDY = "start the agent's container with --cgroupns=host"


def is_unified(mount: str) -> bool:
    """Return whether only cgroup version 2 is mounted at `mount`. Raises KernelUnreadableError if no cgroups are."""
    if os.path.exists(f"{mount}/cgroup.controllers"):  # noqa: PTH110 - pathlib doubles the memory of a small agent
        return True
    if any(os.path.isdir(f"{mount}/{controller}") for controller in CONTROLLERS):  # noqa: PTH112
        return False
    raise KernelUnreadableError(f"{mount} shows no cgroups; {CGROUP_REMEDY}")


def find_cgroup_paths(process: str, container_id: str) -> dict[str, str]:
    """Return the container's cgroups by controller ("" for version 2), relative to where cgroups are mounted.

    The process may be in a child of the container's cgroup: systemd as the first process of a container moves itself.
    Controllers for which the container has no cgroup of its own are left out.

    Args:
        process: the directory of the container's first process in /proc.
        container_id: the id that is part of the directory's name.

    Raises:
        KernelUnreadableError: the file is hidden, or shows that the process is not this container's.
    """
    path = f"{process}/cgroup"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            lines = file.read().splitlines()
    except OSError as error:
        raise KernelUnreadableError(f"{path} cannot be read: {error.strerror}; {PROC_REMEDY}") from error
    found: dict[str, str] = {}
    cgroups = set()
    for line in lines:
        _, controllers, cgroup = line.split(":", 2)
        cgroups.add(cgroup)
        if own := _cut_after_id(cgroup, container_id):
            found |= dict.fromkeys(controllers.split(","), own)
    if any(cgroup.startswith("/..") for cgroup in cgroups):
        raise KernelUnreadableError(f"{path} leads out of the agent's own cgroup namespace: {NAMESPACE_REMEDY}")
    if cgroups == {"/"}:  # the agent's own container, or one that shares its namespace
        raise KernelUnreadableError(f"{path} shows the agent's own cgroup namespace only: {NAMESPACE_REMEDY}")
    if not found:
        raise KernelUnreadableError(f"{path} does not name the container: does the engine run on this machine?")
    return found


def _cut_after_id(cgroup: str, container_id: str) -> str:
    """Return the path down to the directory that has the id in its name; "" if there is none."""
    parts = cgroup.split("/")
    depth = next((depth for depth, part in enumerate(parts, 1) if container_id in part), 0)
    return "/".join(parts[:depth])
