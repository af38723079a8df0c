"""The Debian package: what lintian says of it, and its life on a machine with systemd."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemons import debian
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import Subscriber
from support.progress import report

from systemd.conftest import CONFIG
from systemd.machine import PID_1, UNIT, Machine

pytestmark = [pytest.mark.package, pytest.mark.systemd, pytest.mark.slow]

STARTED_BY_SOMEBODY = ("usage-agent-web.service", "usage-agent@pi.service")
LEFT = (
    "find / -xdev -name '*usage-agent*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/packages/*' "
    "-not -path '/var/log/*'"
)


class BareMachine(Machine):
    """A machine with nothing of the agent; it sees a directory as /packages."""

    def boot(self) -> None:
        """Start PID 1, and return when multi-user.target is active."""
        self._id = self._engine.run(
            *PID_1,
            image="debian",
            network="host",
            cap_add=["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            cgroupns="host",
            tmpfs=["/run", "/tmp"],
            volume=[
                "/sys/fs/cgroup:/sys/fs/cgroup",
                f"{self._engine.socket}:/var/run/docker.sock",
                f"{self._directory}:/packages:ro",
            ],
        )
        self.wait(lambda: "multi-user.target" in self.shell("systemctl list-units --state=active --plain || true"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the package, `first.deb`, and a later one with another configuration, `second.deb`."""
    if debian.SUITE not in Path("/etc/os-release").read_text():
        pytest.skip(f"the package is for the Debian it is built on, and the tests' machine is {debian.SUITE}")
    report("building the Debian package")
    directory = tmp_path_factory.mktemp("packages")
    wheels = debian.wheelhouse(directory / "wheels", ("web", "watch", "package"))
    settings = {"VENV": sys.prefix, "DIST": str(directory), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    script = [str(debian.PROJECT / "scripts/package")]
    done = subprocess.run(script, env=os.environ | settings, capture_output=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    [built] = directory.glob("usage-agent_*.deb")
    _make_later(built.rename(directory / "first.deb"), directory / "second.deb", directory / "tree")
    shutil.rmtree(wheels)
    return directory


def test_lintian_finds_nothing(packages: Path) -> None:
    """Lintian has no error and no warning about the package."""
    command = ["lintian", "--allow-root", "--fail-on=error,warning", str(packages / "first.deb")]
    done = subprocess.run(command, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout.decode()


def test_package_is_installed_upgraded_removed_and_purged(
    engine: PrivateEngine,
    packages: Path,
    own_broker: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
) -> None:
    """The service runs at once, restarts at an upgrade with the configuration kept, and nothing is left in the end.

    So do the web page and an instance that somebody has started: they end with the package, too.
    """
    broker = own_broker()
    debian.import_debian(engine)
    machine = BareMachine(engine, packages)
    machine.boot()
    machine.shell(f"groupadd --non-unique --gid={engine.socket.stat().st_gid} docker")

    machine.shell("dpkg --install /packages/first.deb")
    machine.wait_active()
    assert machine.shell(f"systemctl is-enabled {UNIT}") == "enabled"
    assert machine.shell("systemctl is-enabled usage-agent-web || true") == "disabled"
    assert machine.shell(f"systemd-analyze verify {UNIT} usage-agent@pi.service usage-agent-web.service") == ""
    machine.shell(f"cat >/etc/usage-agent/config.toml <<'END'\n{CONFIG.format(port=broker.port)}\nEND")
    machine.shell(f"systemctl restart {UNIT}")
    machine.wait_publishing()
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True)
    assert machine.shell("usage-agent health") == "well"
    assert "a package has installed the service" in machine.shell("usage-agent install-service --dry-run 2>&1 || true")

    machine.shell("cp /etc/usage-agent/config.toml /etc/usage-agent/pi.toml")
    machine.shell(f"systemctl enable --now {' '.join(STARTED_BY_SOMEBODY)}")
    before = [machine.show("MainPID", unit) for unit in (UNIT, *STARTED_BY_SOMEBODY)]
    machine.shell("dpkg --force-confdef --force-confold --install /packages/second.deb")
    machine.wait_publishing()
    after = [machine.show("MainPID", unit) for unit in (UNIT, *STARTED_BY_SOMEBODY)]
    assert "0" not in before + after
    assert not set(before) & set(after)
    assert "# later" in machine.shell("cat /etc/usage-agent/config.toml.dpkg-dist")
    assert f"{broker.port}" in machine.shell("cat /etc/usage-agent/config.toml")

    machine.shell("dpkg --remove usage-agent")
    for unit in (UNIT, *STARTED_BY_SOMEBODY):
        assert machine.show("ActiveState", unit) == "inactive"
    assert f"{broker.port}" in machine.shell("cat /etc/usage-agent/config.toml")
    machine.shell("rm /etc/usage-agent/pi.toml; dpkg --purge usage-agent")
    assert machine.shell(LEFT) == ""


def test_package_has_manual_and_completion(packages: Path) -> None:
    """The manual page describes each command; bash completes commands and their options."""
    tree = packages / "tree"
    manual = subprocess.run(
        ["zcat", str(tree / "usr/share/man/man1/usage-agent.1.gz")], capture_output=True, check=True
    ).stdout.decode()
    assert manual.count('.SH "USAGE') >= 8
    assert "\\-\\-dry\\-run" in manual
    completion = tree / "usr/share/bash-completion/completions/usage-agent"
    script = f"source {completion}; COMP_WORDS=(usage-agent he); COMP_CWORD=1; _shtab_agent; echo ${{COMPREPLY[*]}}"
    assert subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout == b"health\n"


def _make_later(package: Path, later: Path, tree: Path) -> None:
    """Unpack a package, and make one of a later version that has another configuration."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: ", "Version: 99:"))
    config = tree / "etc/usage-agent/config.toml"
    config.write_text(f"{config.read_text()}# later\n")
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, later], stdout=subprocess.DEVNULL, check=True)
