"""`systemctl reload` under a real systemd."""

from collections.abc import Callable

import pytest
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import Subscriber

from systemd.conftest import CONFIG, Boot
from systemd.machine import UNIT

pytestmark = pytest.mark.systemd

STATUS = "containers/box/status"
ERROR, INFO = 3, 6

MakeBroker = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]


def test_reload_takes_effect_without_a_restart(boot: Boot, own_broker: MakeBroker, subscribe: Subscribe) -> None:
    """`systemctl reload` has the configuration read anew, a good one and a wrong one; the service stays active."""
    broker = own_broker()
    machine = boot(broker.port)
    subscriber = subscribe(broker.url, STATUS)
    machine.wait_publishing()
    pid = machine.show("MainPID")
    machine.write("config/config.toml", CONFIG.format(port=broker.port).replace("interval = 1", "interval = 2"))
    assert machine.shell(f"systemctl reload {UNIT}") == ""
    subscriber.wait_for(lambda message: bool(message.json["interval"] == 2))
    machine.wait(lambda: "reload: agent.interval takes effect" in machine.logged(INFO), "the journal tells")
    machine.write("config/config.toml", "[agent]\ninterval = 0\n")
    machine.shell(f"systemctl reload {UNIT}")
    machine.wait(lambda: any("agent.interval is 0" in line for line in machine.logged(ERROR)), "the mistake is told")
    machine.wait(lambda: machine.show("ActiveState") == "active", "the reload ends")
    assert machine.show("MainPID") == pid
    assert machine.show("NRestarts") == "0"
    assert machine.health() == "well\n0"
