"""Detection of a host name that will not last: the id of the container in which the agent runs."""

import os
import re
import socket
from collections.abc import Mapping

MARKERS = ("/.dockerenv", "/run/.containerenv")  # files that Docker and Podman put into every container

CONTAINER_ID = re.compile(r"[0-9a-f]{12}")


def container_id_warning(host: str, environment: Mapping[str, str]) -> str | None:
    """Return a warning if `host` is the name that an engine gives a container without `--hostname`; else None.

    Outside a container such a name may be intended: some machines are named after the MAC address of a network
    interface, which has 12 hexadecimal digits, too.

    Args:
        host: agent.host.
        environment: the environment variables; Podman, LXC and systemd-nspawn set `container`.
    """
    if not CONTAINER_ID.fullmatch(host) or host != socket.gethostname():
        return None
    if "container" not in environment and not any(map(os.path.exists, MARKERS)):
        return None
    return (
        f"agent.host is {host}, the id of the agent's own container: it changes when the container is made anew, and "
        "the topics of the old one stay. Start the container with --hostname, or set USAGE_AGENT_AGENT__HOST"
    )
