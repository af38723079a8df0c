"""A machine with systemd that the agent is installed on: a container whose PID 1 is /sbin/init."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.daemons import debian
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import PATIENCE, wait_until
from support.progress import say

UNIT = "usage-agent.service"
IMAGE = "machine"
RECIPE = """\
FROM debian
COPY wheels /wheels
RUN python3 -m venv /opt/usage-agent \\
    && /opt/usage-agent/bin/pip install --no-index --find-links=/wheels usage-agent \\
    && groupadd --non-unique --gid={group} docker
COPY usage-agent.service /etc/systemd/system/
RUN systemctl enable usage-agent.service
"""
PID_1 = (
    "sh",
    "-c",
    # systemd mounts every controller of cgroup v1 that the kernel has. One that the host has left alone would thereby
    # be a hierarchy of which containerd knows no place, and as long as it is there no new container has statistics.
    'while read -r name rest; do for at in "$name/cgroup.procs" cgroup.procs; do '
    'if [ "$name" = "#subsys_name" ] || [ -e "/sys/fs/cgroup/$at" ]; then echo "$name $rest"; break; fi; done; '
    "done </proc/cgroups >/run/cgroups; mount --bind /run/cgroups /proc/cgroups && "
    # A machine's mounts are shared: without it no credential arrives where the service looks for it.
    "mount --make-rshared / && exec /sbin/init",
)


def install(engine: PrivateEngine, directory: Path) -> None:
    """Make the image: Debian, the agent in /opt/usage-agent, the unit enabled, `docker` the group of the socket."""
    say("building an image with systemd and the agent")
    debian.import_debian(engine)
    debian.wheelhouse(directory / "wheels")
    shutil.copy(debian.PROJECT / "systemd" / UNIT, directory)
    (directory / "Dockerfile").write_text(RECIPE.format(group=engine.socket.stat().st_gid))
    engine.docker("build", "--quiet", "--network=none", f"--tag={IMAGE}", str(directory), timeout=300)


class Machine:
    """One such container. What it finds in /etc is written before it boots."""

    def __init__(self, engine: PrivateEngine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        self._id = ""

    def write(self, path: str, content: str) -> None:
        """Put a file of root's into /etc/usage-agent, /etc/credstore or the unit's directory of drop-ins."""
        place = self._directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        place.chmod(0o600 if path.startswith("credstore/") else 0o644)

    def boot(self) -> None:
        """Start PID 1, and return when the machine takes orders."""
        places = {
            "config": "/etc/usage-agent",
            "credstore": "/etc/credstore",
            "drop-ins": f"/etc/systemd/system/{UNIT}.d",
        }
        for name in places:
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        self._id = self._engine.run(
            *PID_1,
            image=IMAGE,
            network="host",  # where the test's broker listens
            # What PID 1 of a real machine has: SYS_PTRACE is for ProtectProc= together with PrivateUsers=.
            cap_add=["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            cgroupns="host",
            tmpfs=["/run", "/tmp"],
            volume=[
                "/sys/fs/cgroup:/sys/fs/cgroup",
                f"{self._engine.socket}:/var/run/docker.sock",
                *(f"{self._directory / name}:{place}" for name, place in places.items()),
            ],
        )
        self.wait(lambda: "multi-user.target" in self.shell("systemctl list-units --state=active --plain || true"))

    def shell(self, command: str) -> str:
        """Run a line of shell as root; what it prints on both of its outputs."""
        return self._engine.docker("exec", self._id, "sh", "-c", f"exec 2>&1; {command}")

    def show(self, name: str) -> str:
        """Return a property of the service."""
        return self.shell(f"systemctl show --property={name} --value {UNIT}")

    def journal(self) -> list[dict[str, Any]]:
        """Return what the service and systemd said about it."""
        lines = self.shell(f"journalctl --unit={UNIT} --output=json --no-pager").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait(self, condition: Callable[[], object], what: str = "the machine boots") -> None:
        """Wait for something to become true; if it does not, show the journal."""
        try:
            wait_until(condition, PATIENCE, what)
        except AssertionError as error:
            said = [f"{entry.get('PRIORITY')} {entry.get('MESSAGE')}" for entry in self.journal()]
            error.add_note("\n".join(["the journal:", *said]))
            raise

    def wait_active(self) -> None:
        """Wait until systemd takes the service for started."""
        self.wait(lambda: self.show("ActiveState") == "active", "the service becomes active")
