"""The unit under a real systemd: start, restarts, end, credentials and sandbox."""

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

MAX_EXPOSURE = 2.0
STATUS = "containers/box/status"
WARNING, INFO = 4, 6
CONNECT = 1
CONNACK = b"\x20\x03\x00\x00\x00"  # of MQTT 5: success, no properties

Boot = Callable[..., Machine]
MakeBroker = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]


def test_systemd_analyze_verify_finds_nothing(boot: Boot) -> None:
    """`systemd-analyze verify` prints nothing about the installed unit."""
    machine = boot(free_port())
    assert machine.shell(f"systemd-analyze verify /etc/systemd/system/{UNIT}") == ""


def test_systemd_rates_the_exposure_at_most_two(boot: Boot) -> None:
    """`systemd-analyze security` rates the exposure of the file and of the running unit at most 2.0."""
    machine = boot(free_port())
    for unit in (UNIT, f"--offline=true /etc/systemd/system/{UNIT}"):
        rating = machine.shell(f"systemd-analyze security --no-pager {unit} | tail -n 1")
        found = re.search(r"exposure level for usage-agent.service: ([0-9.]+)", rating)
        assert found, rating
        assert float(found[1]) <= MAX_EXPOSURE, rating


def test_start_and_boot_do_not_wait_for_the_broker(boot: Boot, own_broker: MakeBroker) -> None:
    """Without a broker the boot ends and `systemctl start` returns; status and health say what is missing."""
    port = free_port()
    machine = boot(port)
    machine.wait_active()
    machine.wait(lambda: machine.shell("systemctl list-jobs") == "No jobs running.", "the boot ends")
    machine.shell(f"systemctl restart {UNIT}")  # returns when the start is over
    assert machine.show("ActiveState") == "active"
    machine.wait(lambda: "nobody listens there" in machine.show("StatusText"), "the status names the broker")
    assert machine.show("NRestarts") == "0"
    machine.wait(lambda: re.search(r"nobody listens there.*\n1$", machine.health()), "health names the broker")
    broker = own_broker(port=port)
    machine.wait_publishing()
    machine.wait(lambda: machine.health() == "well\n0", "the agent is well")
    assert json.loads(retained(broker.url)[STATUS])["status"] == "running"
    assert machine.show("NRestarts") == "0"


def test_agent_is_not_well_before_the_broker_acknowledges(boot: Boot) -> None:
    """With a broker that accepts the agent but acknowledges no message, status and health do not call it well."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        broker.settimeout(60)
        machine = boot(broker.getsockname()[1])
        for _ in range(2):  # at the second connection the agent had time for a wrong conclusion from the first
            while not _receives_status(broker):
                pass  # a probe of the agent's reachability monitor
            assert "usages sent" not in machine.show("StatusText")
            assert machine.health().endswith("\n1")


def test_agent_without_containers_is_well(boot: Boot, own_broker: MakeBroker) -> None:
    """Without containers the agent is well when the broker has acknowledged the agent's own status."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # its backlog accepts connections and never answers
        port = silent.getsockname()[1]
        machine = boot(port, "[engine]\nexclude = ['*']\n", WatchdogSec=5)
        machine.wait(lambda: machine.show("StatusText"), "the agent has a status text")
        assert "0 containers" not in machine.show("StatusText")
    own_broker(port=port)
    machine.wait(lambda: "0 containers" in machine.show("StatusText"), "the agent publishes")


def test_missing_group_is_no_failed_start(boot: Boot) -> None:
    """Without a group `docker` the unit, which names none, is started; its status says that the socket is forbidden."""
    machine = boot(free_port())
    machine.wait_active()
    machine.shell(f"rm --force /etc/systemd/system/{UNIT}.d/docker.conf; groupdel docker; systemctl daemon-reload")
    machine.shell(f"systemctl restart {UNIT} || true")
    machine.wait(lambda: "ermission denied" in machine.show("StatusText"), "the status names the socket")
    assert machine.show("ActiveState") == "active"
    assert machine.show("NRestarts") == "0"


def test_killed_agent_is_restarted(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """After SIGKILL systemd restarts the agent, and usages are published again."""
    broker = own_broker()
    machine = boot(broker.port)
    machine.wait_publishing()
    machine.shell(f"systemctl kill --signal=KILL {UNIT}")
    machine.wait(lambda: machine.show("NRestarts") == "1", "the agent is restarted")
    machine.wait_active()
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True)


def test_hanging_agent_is_restarted(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """The watchdog ends a stopped agent, whose dump of its threads begins; systemd then restarts it."""
    broker = own_broker()
    machine = boot(broker.port, WatchdogSec=5)
    machine.wait_publishing()
    machine.shell(f"systemctl kill --kill-whom=main --signal=STOP {UNIT}")
    machine.wait(lambda: machine.show("NRestarts") == "1", "the watchdog ends the agent")
    machine.wait_active()
    lines = [str(entry["MESSAGE"]) for entry in machine.journal()]
    assert any("Watchdog timeout" in line for line in lines)
    # The dump begins, but threads that run again while Python reads their stacks may cut it short.
    assert any("Fatal Python error: Aborted" in line for line in lines), lines
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True)


def test_watchdog_does_not_end_a_working_agent(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """A working agent notifies the watchdog: it is not restarted within several watchdog periods."""
    broker = own_broker()
    machine = boot(broker.port, WatchdogSec=5)
    machine.wait_publishing()
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda usage: usage.json["seq"] >= 12, timeout=60)
    assert machine.show("NRestarts") == "0"


def test_systemctl_stop_ends_the_agent_cleanly(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """`systemctl stop` ends the agent within the unit's limit; `stopped` is retained for agent and containers."""
    broker = own_broker()
    machine = boot(broker.port)
    machine.wait_publishing()
    subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True)
    machine.wait(lambda: machine.health() == "well\n0", "the agent is well")
    machine.shell(f"systemctl stop {UNIT}")
    assert machine.show("ActiveState") == "inactive"
    assert machine.show("Result") == "success"
    reasons = {topic: json.loads(payload)["reason"] for topic, payload in retained(broker.url).items()}
    assert reasons.pop(STATUS) == "exit"
    assert set(reasons.values()) == {"agent exit"}
    assert "no running agent" in machine.health()


def test_journal_has_the_priority_of_each_line(boot: Boot, own_broker: MakeBroker) -> None:
    """The journal has the priority of each of the agent's lines, without the prefix `<N>` that transmits it."""
    broker = own_broker()
    machine = boot(broker.port)
    machine.wait_publishing()
    broker.kill()
    machine.wait(lambda: machine.logged(WARNING), "the agent warns about the broker")
    assert machine.logged(INFO)
    assert not [line for line in machine.logged(INFO) + machine.logged(WARNING) if line.startswith("<")]


def test_password_is_a_credential_of_the_service_only(boot: Boot, own_broker: MakeBroker, short_path: Path) -> None:
    """The broker's password is a credential, readable by the service only and shown nowhere else."""
    machine = _boot_with_login(boot, own_broker, short_path, "secret")
    machine.wait_publishing()
    file = f"/run/credentials/{UNIT}/broker-password"
    assert machine.shell(f"stat --format=%a {file}") == "400"
    assert "secret" not in machine.shell(f"cat /proc/{machine.show('MainPID')}/environ; systemctl show {UNIT}")
    assert not [entry for entry in machine.journal() if "secret" in str(entry["MESSAGE"])]


def test_wrong_password_is_told_in_the_status(boot: Boot, own_broker: MakeBroker, short_path: Path) -> None:
    """With a wrong password the agent keeps running and retries; log and status say so."""
    machine = _boot_with_login(boot, own_broker, short_path, "wrong")
    machine.wait(lambda: machine.logged(WARNING), "the agent warns about the password")
    machine.wait(lambda: "password" in machine.show("StatusText"), "the status names the password")
    assert machine.show("ActiveState") == "active"
    assert machine.show("NRestarts") == "0"


def test_agent_runs_as_a_dynamic_user_without_capabilities(boot: Boot, own_broker: MakeBroker) -> None:
    """The agent runs as a dynamic user without capabilities, and can write to its runtime directory only."""
    broker = own_broker()
    machine = boot(broker.port)
    machine.wait_publishing()
    pid = machine.show("MainPID")
    status = machine.shell(f"cat /proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert 61184 <= int(fields["Uid"].split()[0]) <= 65519  # the range of systemd's dynamic users
    assert {int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    for place in ("etc", "home", "opt/usage-agent", "srv", "var/lib"):
        assert "Read-only file system" in machine.shell(f"nsenter --target={pid} --mount touch /{place}/new || true")
    assert machine.shell(f"nsenter --target={pid} --mount touch /run/usage-agent/new") == ""


def test_bad_configuration_fails_the_unit_without_a_restart(boot: Boot) -> None:
    """A mistake in the configuration is logged to the journal, and systemd does not restart the unit."""
    machine = boot(free_port(), "keepalive = 'often'\n")
    machine.wait(lambda: machine.show("ActiveState") == "failed", "the unit fails")
    assert machine.show("ExecMainStatus") == "2"
    assert machine.show("NRestarts") == "0"
    assert any("broker.keepalive" in str(entry["MESSAGE"]) for entry in machine.journal())


def _receives_status(broker: socket.socket) -> bool:
    """Accept the next MQTT client and only receive; return whether the agent's status was received."""
    with contextlib.closing(broker.accept()[0]) as connection, contextlib.suppress(ConnectionError):
        connection.settimeout(60)
        if connection.recv(4096)[0] >> 4 != CONNECT:
            return False
        connection.sendall(CONNACK)
        received = b""
        while more := connection.recv(4096):
            received += more
            if STATUS.encode() in received:
                return True
    return False


def _boot_with_login(boot: Boot, own_broker: MakeBroker, directory: Path, password: str) -> Machine:
    """Boot a machine with this password, and start a broker that requires "secret"."""
    users = directory / "users"
    users.touch()
    subprocess.run(["mosquitto_passwd", "-b", str(users), "box", "secret"], check=True)
    broker = own_broker("allow_anonymous false", f"password_file {users}")
    file = f"/run/credentials/{UNIT}/broker-password"
    return boot(broker.port, f'username = "box"\npassword_file = "{file}"\n', password=password)
