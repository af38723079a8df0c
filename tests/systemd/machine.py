"""A machine with systemd and the agent installed: a container whose PID 1 is /sbin/init."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.daemons import debian
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import PATIENCE, wait_until
from support.progress import report

UNIT, WEB_UNIT = "usage-agent.service", "usage-agent-web.service"
IMAGE = "machine"
RECIPE = """\
FROM debian
COPY wheels /wheels
RUN python3 -m venv /opt/usage-agent \\
    && /opt/usage-agent/bin/pip install --no-index --find-links=/wheels usage-agent[web] \\
    && groupadd --non-unique --gid={group} docker
COPY *.service /etc/systemd/system/
RUN systemctl enable usage-agent.service
"""
PID_1 = (
    "sh",
    "-c",
    # systemd mounts every controller of cgroup v1 that the kernel has. A controller that the host does not mount would
    # become a hierarchy without a path in containerd, and while it exists new containers have no statistics.
    'while read -r name rest; do for at in "$name/cgroup.procs" cgroup.procs; do '
    'if [ "$name" = "#subsys_name" ] || [ -e "/sys/fs/cgroup/$at" ]; then echo "$name $rest"; break; fi; done; '
    "done </proc/cgroups >/run/cgroups; mount --bind /run/cgroups /proc/cgroups && "
    # The mounts of a machine are shared; otherwise the service does not find its credentials.
    "mount --make-rshared / && exec /sbin/init",
)
PLACES = {"config": "/etc/usage-agent", "credstore": "/etc/credstore", "drop-ins": f"/etc/systemd/system/{UNIT}.d"}
BARE_PLACES = {"shared": "/shared"}
REMOVE_SERVICE = f"systemctl --quiet disable {UNIT}; rm /etc/systemd/system/usage-agent*.service; "


def install(engine: PrivateEngine, directory: Path) -> None:
    """Build the image: Debian, the agent in /opt/usage-agent, its unit enabled, `docker` as the group of the socket."""
    report("building an image with systemd and the agent")
    debian.import_debian(engine)
    debian.wheelhouse(directory / "wheels", ("web",))
    for unit in (UNIT, WEB_UNIT):
        shutil.copy(debian.PROJECT / "systemd" / unit, directory)
    (directory / "Dockerfile").write_text(RECIPE.format(group=engine.socket.stat().st_gid))
    engine.docker("build", "--quiet", "--network=none", f"--tag={IMAGE}", str(directory), timeout=300)


class Machine:
    """One machine; its files below /etc are written before it boots.

    Args:
        engine: where it runs.
        directory: for its files.
        bare: without the unit and all of its files: the agent is installed, but no service. The machine sees the
            directory's `shared` as /shared.
    """

    def __init__(self, engine: PrivateEngine, directory: Path, bare: bool = False) -> None:
        self._engine = engine
        self._bare = bare
        self._directory = directory
        self._id = ""

    def write(self, path: str, content: str) -> None:
        """Write a file of root in /etc/usage-agent, /etc/credstore or the unit's directory of drop-ins."""
        place = self._directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        place.chmod(0o600 if path.startswith("credstore/") else 0o644)

    def boot(self) -> None:
        """Start PID 1, and return when multi-user.target is active."""
        places = BARE_PLACES if self._bare else PLACES
        for name in places:
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        if not self._bare:
            shutil.copy(debian.PROJECT / "systemd/docker.conf", self._directory / "drop-ins")
        self._id = self._engine.run(
            *PID_1[:-1],
            (REMOVE_SERVICE if self._bare else "") + PID_1[-1],
            image=IMAGE,
            network="host",  # the test's broker listens on the loopback address
            # The capabilities of PID 1 on a real machine: ProtectProc= with PrivateUsers= needs SYS_PTRACE.
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
        """Run a shell command as root; return its standard output and standard error."""
        return self._engine.docker("exec", self._id, "sh", "-c", f"exec 2>&1; {command}")

    def show(self, name: str, unit: str = UNIT) -> str:
        """Return a property of the service."""
        return self.shell(f"systemctl show --property={name} --value {unit}")

    def journal(self) -> list[dict[str, Any]]:
        """Return the journal entries of the service, its own and systemd's."""
        lines = self.shell(f"journalctl --unit={UNIT} --output=json --no-pager").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def logged(self, priority: int) -> list[str]:
        """Return the agent's own lines in the journal of this priority."""
        entries = [entry for entry in self.journal() if entry.get("SYSLOG_IDENTIFIER") == "usage-agent"]
        return [str(entry["MESSAGE"]) for entry in entries if entry["PRIORITY"] == str(priority)]

    def wait(self, condition: Callable[[], object], what: str = "the machine boots") -> None:
        """Wait until a condition is true; add the journal to the error if it does not become true."""
        try:
            wait_until(condition, PATIENCE, what)
        except AssertionError as error:
            entries = [f"{entry.get('PRIORITY')} {entry.get('MESSAGE')}" for entry in self.journal()]
            error.add_note("\n".join(["the journal:", *entries]))
            raise

    def wait_active(self) -> None:
        """Wait until systemd reports the service as active."""
        self.wait(lambda: self.show("ActiveState") == "active", "the service becomes active")

    def wait_publishing(self) -> None:
        """Wait until the service is active, and its status says that it publishes."""
        self.wait_active()
        self.wait(lambda: "usages sent" in self.show("StatusText"), "the service publishes")

    def health(self) -> str:
        """Return what `usage-agent health` prints, and its exit code."""
        return self.shell("/opt/usage-agent/bin/usage-agent health; echo $?")
