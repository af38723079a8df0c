"""What the scripts do when they install packages with apt: nothing is started or enabled."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from support.daemons.debian import PROJECT
from support.daemons.dockerd import PrivateEngine

from systemd.machine import Machine

pytestmark = pytest.mark.systemd

UNIT = """\
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy={target}.target
Alias=alias-of-newcomer.service
"""
# What debhelper writes into a package with a service of the system and one of every user.
CONFIGURE = """\
#!/bin/sh
set -e
deb-systemd-helper enable newcomer.service
deb-systemd-helper --user enable newcomer.service
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    deb-systemd-invoke start newcomer.service
fi
"""
CONTROL = "Package: newcomer\nVersion: 1\nArchitecture: all\nMaintainer: us\nDescription: a service\n"
LINKS = "find /etc/systemd -name '*newcomer*'"


@pytest.fixture
def machine(installed: PrivateEngine, short_path: Path) -> Machine:
    """Return a booted machine with a source of packages that has one with a service, and with our scripts."""
    machine = Machine(installed, short_path / "machine", bare=True)
    scripts = short_path / "machine/shared"
    _make_source(scripts / "source")
    for name in ("lib.sh", "packages.sh"):
        (scripts / "scripts").mkdir(exist_ok=True)
        shutil.copy(PROJECT / "scripts" / name, scripts / "scripts")
    machine.boot()
    machine.shell(
        "rm -rf /etc/apt/sources.list*; echo 'deb [trusted=yes] file:/shared/source ./' >/etc/apt/sources.list"
    )
    return machine


def test_installed_service_is_neither_started_nor_enabled(machine: Machine) -> None:
    """No service and no link is new; what forbids services is gone again; the packages are named before and after."""
    said = machine.shell("cd /shared/scripts && bash -c '. ./lib.sh && install newcomer'")
    assert "installing newcomer\n" in said
    assert "new packages: 1." in said
    named = machine.shell("cat /shared/.installed-packages; dpkg-query --show newcomer")
    assert named.split() == ["newcomer", "newcomer", "1"]
    assert machine.shell("systemctl is-active newcomer || true") == "inactive"
    assert machine.shell("systemctl is-enabled newcomer || true") == "disabled"
    assert machine.shell(LINKS) == ""
    assert machine.shell("ls /usr/sbin/policy-rc.d* 2>/dev/null || true") == ""


def test_failed_installation_restores_the_policy(machine: Machine) -> None:
    """A machine's own policy on services comes back, even if the package cannot be configured."""
    machine.shell("printf '#!/bin/sh\\n# mine\\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d")
    machine.shell("printf '#!/bin/sh\\nexit 1\\n' >/usr/bin/deb-systemd-invoke")
    said = machine.shell(
        "cd /shared/scripts && bash -c '. ./lib.sh && twice() { \"$@\"; } && install newcomer' || echo failed"
    )
    assert said.endswith("failed")
    assert machine.shell("cat /usr/sbin/policy-rc.d*").splitlines() == ["#!/bin/sh", "# mine"]
    assert machine.shell(LINKS) == ""


def _make_source(directory: Path) -> None:
    """Make a source for apt: a package, and the list that names it."""
    tree = directory / "tree"
    for place, target in (("system", "multi-user"), ("user", "default")):
        unit = tree / f"usr/lib/systemd/{place}/newcomer.service"
        unit.parent.mkdir(parents=True)
        unit.write_text(UNIT.format(target=target))
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(CONTROL)
    (tree / "DEBIAN/postinst").write_text(CONFIGURE)
    (tree / "DEBIAN/postinst").chmod(0o755)
    package = directory / "newcomer.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(package)], check=True, capture_output=True
    )
    content = package.read_bytes()
    entry = f"Filename: ./newcomer.deb\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
    (directory / "Packages").write_text(CONTROL + entry)
