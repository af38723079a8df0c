"""Where the kernel keeps a container's files: its cgroup is that of its first process, named after the container."""

import os

from agent.kernel.cgroup_v1 import CONTROLLERS
from agent.kernel.files import KernelUnreadableError

HIDDEN = (
    "does the engine run on this machine? Under systemd: ProtectProc=default; "
    "in a container: --volume=/proc:/host/proc:ro"
)
MOUNT = "in a container: --volume=/sys/fs/cgroup:/host/sys/fs/cgroup:ro --cgroupns=host"


def unified(cgroups: str) -> bool:
    """Say whether the cgroups mounted at `cgroups` are of version 2 alone. Raises KernelUnreadableError."""
    if os.path.exists(f"{cgroups}/cgroup.controllers"):  # noqa: PTH110 - pathlib doubles the memory of a small agent
        return True
    if any(os.path.isdir(f"{cgroups}/{controller}") for controller in CONTROLLERS):  # noqa: PTH112
        return False
    raise KernelUnreadableError(f"{cgroups} shows no cgroups; {MOUNT}")


def paths(process: str, container_id: str) -> dict[str, str]:
    """Return the container's cgroups, by controller ("": version 2), relative to where they are mounted.

    `process` is the directory of its first process. That one may have moved on to a child of the container's cgroup,
    as systemd does in a container. Controllers for which the container has no cgroup of its own are left out.
    """
    path = f"{process}/cgroup"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            lines = file.read().splitlines()
    except OSError as error:
        raise KernelUnreadableError(f"{path} cannot be read: {error.strerror}; {HIDDEN}") from error
    found: dict[str, str] = {}
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if own := _own(place, container_id):
            found |= dict.fromkeys(controllers.split(","), own)
    if any(place.startswith("/..") for place in found.values()):
        raise KernelUnreadableError(
            f"{path} leads out of the agent's own cgroup namespace: start it with --cgroupns=host"
        )
    if not found:
        raise KernelUnreadableError(f"{path} does not name the container: does the engine run on this machine?")
    return found


def _own(place: str, container_id: str) -> str:
    """Return the path down to the directory named after the container; "" if there is none."""
    parts = place.split("/")
    depth = next((depth for depth, part in enumerate(parts, 1) if container_id in part), 0)
    return "/".join(parts[:depth])
