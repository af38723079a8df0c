"""The unit of the web page under a real systemd."""

import json
import re

import pytest
import requests
from support.daemons.mosquitto import free_port
from support.daemons.processes import PATIENCE

from systemd.conftest import Boot
from systemd.machine import UNIT, WEB_UNIT, Machine
from systemd.test_systemd import MakeBroker

pytestmark = pytest.mark.systemd

DROP_INS = f"/etc/systemd/system/{WEB_UNIT}.d"
PASSWORD = "USAGE_AGENT_WEB__PASSWORD_FILE=%%d/password"  # systemd's %d, in a format of printf
REACH_ENGINE = "import socket; socket.socket(socket.AF_UNIX).connect('/run/docker.sock'); print('reached')"


def exposure(machine: Machine, unit: str) -> float:
    """Return what systemd thinks of a unit: 0 is the safest, 10 the most exposed."""
    rating = machine.shell(f"systemd-analyze security --no-pager {unit} | tail -n 1")
    found = re.search(r"exposure level for \S+: ([0-9.]+)", rating)
    assert found, rating
    return float(found[1])


def as_service(machine: Machine, unit: str, program: str) -> str:
    """Run Python in the place of a service: with its user, its groups and its view of the files."""
    pid = machine.show("MainPID", unit)
    status = machine.shell(f"cat /proc/{pid}/status")
    ids = dict(re.findall(r"^(Uid|Gid|Groups):[\t ]*(.*)$", status, re.MULTILINE))
    user, group, groups = ids["Uid"].split()[0], ids["Gid"].split()[0], ",".join(ids["Groups"].split())
    rights = f"setpriv --reuid={user} --regid={group} {f'--groups={groups}' if groups else '--clear-groups'}"
    return machine.shell(f'nsenter --target={pid} --mount {rights} /opt/usage-agent/bin/python -c "{program}" || true')


def test_service_of_the_web_page(boot: Boot, own_broker: MakeBroker) -> None:
    """The page answers as soon as its service is started, over restarts; it has fewer rights than the agent has."""
    broker, port = own_broker(), free_port()
    machine = boot(broker.port, f'[web]\nlisten = "127.0.0.1:{port}"\n')
    url = f"http://127.0.0.1:{port}"

    def served() -> bool:
        document = json.loads(requests.get(f"{url}/api/containers", timeout=PATIENCE).text)
        return any(container["state"] == "running" for container in document["containers"])

    assert machine.shell(f"systemd-analyze verify /etc/systemd/system/{WEB_UNIT}") == ""
    assert machine.shell(f"systemctl start {WEB_UNIT}") == ""
    assert requests.get(f"{url}/healthz", timeout=PATIENCE).text.strip() == "ok"
    machine.wait(served, "the agent's containers are on the page")
    assert machine.show("StatusText", WEB_UNIT) == f"The page is at {url}/"

    assert exposure(machine, WEB_UNIT) <= exposure(machine, UNIT)
    assert as_service(machine, UNIT, REACH_ENGINE) == "reached"
    assert "PermissionError" in as_service(machine, WEB_UNIT, REACH_ENGINE)

    broker.kill()
    machine.shell(f"systemctl restart {WEB_UNIT} || true")
    assert machine.show("ActiveState", WEB_UNIT) == "activating"  # again, and again in 5 seconds
    broker.start()
    machine.wait(lambda: machine.show("ActiveState", WEB_UNIT) == "active", "it starts when the broker is there")
    machine.wait(served, "the agent's containers are on the page again")

    machine.write("credstore/usage-agent-web.password", "secret\n")
    machine.shell(f"mkdir {DROP_INS} && printf '[Service]\nEnvironment={PASSWORD}\n' >{DROP_INS}/test.conf")
    assert machine.shell(f"systemctl daemon-reload; systemctl restart {WEB_UNIT}") == ""
    answers = [requests.get(url, auth=auth, timeout=PATIENCE) for auth in (None, ("anybody", "secret"))]
    assert [answer.status_code for answer in answers] == [401, 200]

    machine.shell(f"systemctl stop {WEB_UNIT}")
    assert (machine.show("ActiveState", WEB_UNIT), machine.show("Result", WEB_UNIT)) == ("inactive", "success")
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=PATIENCE)
