"""`usage-agent install-service` and instances of the unit, under a real systemd."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemons.debian import PROJECT
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.subscriber import Subscriber, retained

from systemd.machine import UNIT, Machine

pytestmark = pytest.mark.systemd

COMMAND = "/opt/usage-agent/bin/usage-agent install-service"
CONFIG = "/etc/usage-agent/config.toml"
FILES = "find /etc/systemd/system /etc/usage-agent -path '*usage-agent*' 2>/dev/null | sort"

RUNTIME = "/run/user/1500"
AS_USER = f"setpriv --reuid=me --regid=me --init-groups env HOME=/home/me XDG_RUNTIME_DIR={RUNTIME}"

MakeBroker = Callable[..., Mosquitto]
MakeEngine = Callable[..., PrivateEngine]
Subscribe = Callable[..., Subscriber]


@pytest.fixture
def bare(installed: PrivateEngine, short_path: Path) -> Machine:
    """Return a booted machine on which the agent is installed, but no service."""
    machine = Machine(installed, short_path / "machine", bare=True)
    machine.boot()
    return machine


def test_service_is_installed_kept_and_removed(bare: Machine, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """The service publishes; to install it again changes nothing but starts it anew; removed, it leaves nothing."""
    broker = own_broker()
    shown = bare.shell(f"{COMMAND} --dry-run")
    assert f"would write {CONFIG}" in shown
    assert bare.shell(FILES) == ""
    bare.shell(f"mkdir /etc/usage-agent; {_write(CONFIG, _config('box', broker.port))}")
    assert f"keep {CONFIG}: it is your configuration" in bare.shell(COMMAND)
    bare.wait_publishing()
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True)
    assert bare.shell(f"systemctl is-enabled {UNIT}") == "enabled"
    assert bare.shell("systemd-analyze verify /etc/systemd/system/usage-agent*.service") == ""
    before = bare.shell(f"sha256sum $({FILES}) 2>/dev/null || true")
    assert before.count("docker.conf") == 2
    pid = bare.show("MainPID")
    said = bare.shell(COMMAND)
    assert "write " not in said
    assert bare.shell(f"sha256sum $({FILES}) 2>/dev/null || true") == before
    bare.wait_publishing()
    assert bare.show("MainPID") != pid
    assert f"keep {CONFIG}" in bare.shell(f"{COMMAND} --uninstall")
    assert bare.shell(FILES).splitlines() == ["/etc/usage-agent", CONFIG]
    assert "could not be found" in bare.shell(f"systemctl status {UNIT} || true")
    assert json.loads(retained(broker.url)["containers/box/status"])["reason"] == "exit"
    assert bare.shell(f"{COMMAND} --uninstall --purge") == f"remove {CONFIG}"
    assert bare.shell(FILES) == ""


def test_installation_is_refused_where_the_service_could_not_run(bare: Machine) -> None:
    """Not root, a program that the service may not read, a unit of somebody else: said plainly, nothing is written."""
    said = bare.shell(f"setpriv --reuid=65534 --clear-groups {COMMAND} || echo $?")
    assert "only root can install a service of the system; --user installs one of yours\n1" in said
    bare.shell("cp --recursive /opt/usage-agent /root/agent")
    said = bare.shell("/root/agent/bin/python -m agent install-service || echo $?")
    assert "could not read /root/agent/bin/python: the unit hides /root from it" in said
    bare.shell("cp --recursive /opt/usage-agent /opt/closed && chmod 700 /opt/closed")
    said = bare.shell("/opt/closed/bin/python -m agent install-service || echo $?")
    assert "/opt/closed is closed to other users" in said
    assert bare.shell(FILES) == ""
    bare.shell(f"echo '# mine' >/etc/systemd/system/{UNIT}")
    assert "was not written by this command" in bare.shell(f"{COMMAND} || echo $?")
    assert "keep" in bare.shell(f"{COMMAND} --uninstall")
    assert bare.shell(f"cat /etc/systemd/system/{UNIT}") == "# mine"


def test_without_group_and_configuration_the_service_starts(bare: Machine) -> None:
    """Without a configuration the shipped one is written. Without a group `docker` no unit names it."""
    bare.shell(f"{COMMAND} && groupdel docker")
    assert bare.shell(f"cat {CONFIG}") == (PROJECT / "config.toml").read_text().strip()
    assert bare.shell(f"stat --format=%a {CONFIG} /etc/usage-agent").split() == ["644", "755"]
    assert "there is no group docker" in bare.shell(COMMAND)
    bare.wait_active()
    assert bare.shell(f"ls -d /etc/systemd/system/{UNIT}.d 2>/dev/null || true") == ""


def test_service_of_a_user_publishes(bare: Machine, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """`--user`: the service of a user's systemd, with the socket in the user's runtime directory."""
    broker = own_broker()
    bare.shell("useradd --create-home --uid=1500 --groups=docker me; mkdir /etc/systemd/system/user@.service.d")
    # On other machines libpam-systemd says that.
    bare.shell(
        _write("/etc/systemd/system/user@.service.d/test.conf", f"[Service]\nEnvironment=XDG_RUNTIME_DIR={RUNTIME}")
    )
    bare.shell("systemctl daemon-reload && systemctl start user@1500.service")
    bare.shell(f"ln -s /var/run/docker.sock {RUNTIME}/docker.sock")
    bare.shell("mkdir -p /home/me/.config/usage-agent; chown -R me /home/me/.config")
    bare.shell(_write("/home/me/.config/usage-agent/config.toml", _config("mine", broker.port)))
    said = bare.shell(f"{AS_USER} {COMMAND} --user")
    assert "keep /home/me/.config/usage-agent/config.toml" in said
    subscribe(broker.url, "containers/mine/+/usage").wait_for(lambda _: True)
    assert bare.shell(f"{AS_USER} systemctl --user is-enabled {UNIT}") == "enabled"
    bare.shell(f"{AS_USER} {COMMAND} --user --uninstall --purge")
    assert bare.shell("find /home/me/.config -name '*usage-agent*'") == ""
    assert json.loads(retained(broker.url)["containers/mine/status"])["reason"] == "exit"


def test_instances_publish_for_an_engine_each(
    bare: Machine, own_broker: MakeBroker, own_engine: MakeEngine, subscribe: Subscribe
) -> None:
    """`usage-agent@NAME` runs with /etc/usage-agent/NAME.toml, several at the same time; `health` sees all of them."""
    broker = own_broker()
    url = f"tcp://127.0.0.1:{free_port()}"
    other = own_engine(f"--host={url}")
    other.run(name="elsewhere")
    bare.shell(COMMAND)
    bare.shell(f"systemctl disable --now {UNIT}")
    for name, engine in (("one", ""), ("two", url)):
        bare.shell(_write(f"/etc/usage-agent/{name}.toml", _config(f"box-{name}", broker.port, engine)))
    bare.shell("systemctl enable --now usage-agent@one usage-agent@two")
    subscribe(broker.url, "containers/box-one/+/usage").wait_for(lambda _: True)
    subscribe(broker.url, "containers/box-two/elsewhere/usage").wait_for(lambda _: True)
    bare.wait(lambda: bare.health() == "well\n0", "both agents are well")
    broker.kill()
    bare.wait(
        lambda: {"host box-one", "host box-two"} <= set(bare.health().replace(",", "\n").splitlines()), "both tell"
    )
    bare.shell(f"{COMMAND} --uninstall")
    assert bare.shell("find /etc/systemd /run/usage-agent* -name '*usage-agent*' 2>/dev/null || true") == ""


def _config(host: str, port: int, engine: str = "") -> str:
    lines = ("[agent]", f'host = "{host}"', "interval = 1", "[broker]", f'url = "mqtt://127.0.0.1:{port}"')
    return "\n".join([*lines, "[engine]", f'url = "{engine}"'])


def _write(path: str, content: str) -> str:
    return f"cat >{path} <<'END'\n{content}\nEND"
