"""The unit, run by a real systemd: when it counts as started, what it survives, how it ends, what it may do."""

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.subscriber import Subscriber, retained

from systemd.machine import UNIT, Machine

pytestmark = pytest.mark.systemd

EXPOSURE = 2.0
AGENT = "/opt/usage-agent/bin/usage-agent"
STATUS = "containers/box/status"
WARNING, INFO = 4, 6
CONNECT = 1
CONNACK = b"\x20\x03\x00\x00\x00"  # of MQTT 5: welcome, no properties

Boot = Callable[..., Machine]
MakeBroker = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]


def test_systemd_analyze_verify_finds_nothing(boot: Boot) -> None:
    """`systemd-analyze verify` is silent about the unit where it is installed."""
    machine = boot(free_port())
    assert machine.shell(f"systemd-analyze verify /etc/systemd/system/{UNIT}") == ""


def test_systemd_rates_the_exposure_at_most_two(boot: Boot) -> None:
    """`systemd-analyze security` rates the exposure of the file and of the running unit at most 2.0."""
    machine = boot(free_port())
    for what in (UNIT, f"--offline=true /etc/systemd/system/{UNIT}"):
        rating = machine.shell(f"systemd-analyze security --no-pager {what} | tail -n 1")
        found = re.search(r"exposure level for usage-agent.service: ([0-9.]+)", rating)
        assert found, rating
        assert float(found[1]) <= EXPOSURE, rating


def test_unit_starts_when_the_broker_comes(boot: Boot, own_broker: MakeBroker) -> None:
    """Without a broker the unit goes on starting, without holding up the boot; it is active when it publishes."""
    port = free_port()
    machine = boot(port)  # which returns when multi-user.target is reached
    machine.wait(lambda: _said(machine, WARNING), "the agent misses the broker")
    assert machine.show("ActiveState") == "activating"
    assert machine.show("NRestarts") == "0"
    broker = own_broker(port=port)
    machine.wait_active()
    assert json.loads(retained(broker.url)[STATUS])["status"] == "running"
    assert machine.show("NRestarts") == "0"


def test_unit_is_not_started_before_the_broker_acknowledges(boot: Boot) -> None:
    """A broker that welcomes the agent but acknowledges nothing leaves the unit starting."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        broker.settimeout(60)
        machine = boot(broker.getsockname()[1])
        for _ in range(2):  # at the second one the agent had all its time to draw the wrong conclusion from the first
            while not _status_taken(broker):
                pass  # somebody who only looked whether a broker is there
            assert machine.show("ActiveState") == "activating"


def test_unit_starts_where_there_is_no_container(boot: Boot, own_broker: MakeBroker) -> None:
    """Where there is no container to tell of, started means that the agent's own status was acknowledged."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # whose backlog takes connections and never answers
        port = silent.getsockname()[1]
        machine = boot(port, "[engine]\nexclude = ['*']\n", WatchdogSec=5)
        machine.wait(lambda: "0 containers" in machine.show("StatusText"), "the agent has looked at itself")
        assert machine.show("ActiveState") == "activating"
    own_broker(port=port)
    machine.wait_active()


def test_a_killed_agent_is_started_again(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """After SIGKILL the agent is back by itself, and usages flow."""
    broker = own_broker()
    machine = boot(broker.port)
    machine.wait_active()
    machine.shell(f"systemctl kill --signal=KILL {UNIT}")
    machine.wait(lambda: machine.show("NRestarts") == "1", "the agent is started again")
    machine.wait_active()
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True)


def test_a_hanging_agent_is_started_again(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """An agent that stands still is ended by the watchdog, begins to say where it stood, and is started again."""
    broker = own_broker()
    machine = boot(broker.port, WatchdogSec=5)
    machine.wait_active()
    machine.shell(f"systemctl kill --kill-whom=main --signal=STOP {UNIT}")
    machine.wait(lambda: machine.show("NRestarts") == "1", "the watchdog bites")
    machine.wait_active()
    said = [str(entry["MESSAGE"]) for entry in machine.journal()]
    assert any("Watchdog timeout" in line for line in said)
    # The dump begins, but threads that move again while Python looks at them may cut it short.
    assert any("Fatal Python error: Aborted" in line for line in said), said
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True)


def test_the_watchdog_is_content_with_a_well_agent(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """An agent that moves feeds the watchdog: it outlives several of its periods."""
    broker = own_broker()
    machine = boot(broker.port, WatchdogSec=5)
    machine.wait_active()
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda usage: usage.json["seq"] >= 12, timeout=60)
    assert machine.show("NRestarts") == "0"


def test_systemctl_stop_is_a_clean_ending(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """`systemctl stop` is a clean ending within the unit's limit: `stopped` is retained for the agent and all else."""
    broker = own_broker()
    machine = boot(broker.port)
    machine.wait_active()
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True)
    assert machine.shell(f"{AGENT} health") == "well"
    machine.shell(f"systemctl stop {UNIT}")
    assert machine.show("ActiveState") == "inactive"
    assert machine.show("Result") == "success"
    reasons = {topic: json.loads(payload)["reason"] for topic, payload in retained(broker.url).items()}
    assert reasons.pop(STATUS) == "exit"
    assert set(reasons.values()) == {"agent exit"}
    assert "no running agent" in machine.shell(f"{AGENT} health || true")


def test_journal_has_the_priority_of_each_line(boot: Boot, own_broker: MakeBroker) -> None:
    """The journal has the agent's lines with the priorities it gave them, without the marks that carry these."""
    broker = own_broker()
    machine = boot(broker.port)
    machine.wait_active()
    broker.kill()
    machine.wait(lambda: _said(machine, WARNING), "the agent misses the broker")
    assert _said(machine, INFO)
    assert not [line for line in _said(machine, INFO) + _said(machine, WARNING) if line.startswith("<")]


def test_password_is_a_credential_that_nobody_else_reads(boot: Boot, own_broker: MakeBroker, short_path: Path) -> None:
    """The broker's password comes as a credential; nobody but the service may read it."""
    machine = _boot_with_login(boot, own_broker, short_path, "secret")
    machine.wait_active()
    file = f"/run/credentials/{UNIT}/broker-password"
    assert machine.shell(f"stat --format=%a {file}") == "400"
    assert "secret" not in machine.shell(f"cat /proc/{machine.show('MainPID')}/environ; systemctl show {UNIT}")
    assert not [entry for entry in machine.journal() if "secret" in str(entry["MESSAGE"])]


def test_wrong_password_leaves_the_unit_starting(boot: Boot, own_broker: MakeBroker, short_path: Path) -> None:
    """With a wrong one the agent lives on and tries again; systemd does not take it for started."""
    machine = _boot_with_login(boot, own_broker, short_path, "wrong")
    machine.wait(lambda: _said(machine, WARNING), "the agent complains")
    assert machine.show("ActiveState") == "activating"
    assert machine.show("NRestarts") == "0"


def test_agent_runs_as_a_dynamic_user_without_capabilities(boot: Boot, own_broker: MakeBroker) -> None:
    """The agent runs as a user made for it, without any capability, and writes where it has to only."""
    broker = own_broker()
    machine = boot(broker.port)
    machine.wait_active()
    pid = machine.show("MainPID")
    status = machine.shell(f"cat /proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert 61184 <= int(fields["Uid"].split()[0]) <= 65519  # where systemd takes dynamic users from
    assert {int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    for place in ("etc", "home", "opt/usage-agent", "srv", "var/lib"):
        assert "Read-only file system" in machine.shell(f"nsenter --target={pid} --mount touch /{place}/new || true")
    assert machine.shell(f"nsenter --target={pid} --mount touch /run/usage-agent/new") == ""


def test_bad_configuration_fails_the_unit_without_a_restart(boot: Boot) -> None:
    """A mistake in the configuration is said in the journal, and no restart is tried."""
    machine = boot(free_port(), "keepalive = 'often'\n")
    machine.wait(lambda: machine.show("ActiveState") == "failed", "the unit fails")
    assert machine.show("ExecMainStatus") == "2"
    assert machine.show("NRestarts") == "0"
    assert any("broker.keepalive" in str(entry["MESSAGE"]) for entry in machine.journal())


def _said(machine: Machine, priority: int) -> list[str]:
    """Return what the agent itself said with this priority."""
    said = [entry for entry in machine.journal() if entry.get("SYSLOG_IDENTIFIER") == "usage-agent"]
    return [str(entry["MESSAGE"]) for entry in said if entry["PRIORITY"] == str(priority)]


def _status_taken(broker: socket.socket) -> bool:
    """Be a broker that says welcome to the next who comes and then only takes; say whether the agent's status came."""
    with contextlib.closing(broker.accept()[0]) as connection, contextlib.suppress(ConnectionError):
        connection.settimeout(60)
        if connection.recv(4096)[0] >> 4 != CONNECT:
            return False
        connection.sendall(CONNACK)
        taken = b""
        while more := connection.recv(4096):
            taken += more
            if STATUS.encode() in taken:
                return True
    return False


def _boot_with_login(boot: Boot, own_broker: MakeBroker, directory: Path, password: str) -> Machine:
    """Boot a machine with this password, and a broker that wants "secret"."""
    users = directory / "users"
    users.touch()
    subprocess.run(["mosquitto_passwd", "-b", str(users), "box", "secret"], check=True)
    broker = own_broker("allow_anonymous false", f"password_file {users}")
    file = f"/run/credentials/{UNIT}/broker-password"
    return boot(broker.port, f'username = "box"\npassword_file = "{file}"\n', password=password)
