"""The broker is there and says no: one line with the remedy, slow attempts, and work as soon as it is mended."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from parts.agent import RunningAgent
from parts.fake_engine import FakeEngine
from parts.mosquitto import Mosquitto
from parts.processes import wait_until
from parts.subscriber import Subscriber
from parts.viewer import Viewer

Watch = Callable[..., RunningAgent]
View = Callable[..., Viewer]
OwnBroker = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]

BACKOFF = {"base": 0.5, "factor": 2, "cap": 2}
WAITS = 0.5 + 1 + 2  # seconds between the first attempt and the fourth, at least
MENDED = 30.0  # seconds for the next attempt, and a busy machine


def told_once(running: RunningAgent, pattern: str) -> None:
    """Check that the agent has said this, and warned of nothing else."""
    warnings = running.wait_for_line(" (warning|error) ")
    assert len(warnings) == len(running.wait_for_line(pattern)) == 1, warnings


def test_the_password_is_wrong(
    fake_engine: FakeEngine, own_broker: OwnBroker, watch: Watch, view: View, short_path: Path
) -> None:
    """It is said where to look, without the password; a corrected file is read at the next attempt."""
    passwords, ours = short_path / "passwords", short_path / "password"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "agent", "right"], check=True, capture_output=True)
    acl = short_path / "acl"
    acl.write_text("topic read #\nuser agent\ntopic readwrite #\n")
    broker = own_broker("per_listener_settings false", f"password_file {passwords}", f"acl_file {acl}")
    ours.write_text("mistaken")
    ours.chmod(0o600)
    viewer = view(broker)
    fake_engine.run("web")
    login = {"username": "agent", "password_file": str(ours)}
    running = watch(fake_engine, broker, backoff=BACKOFF, broker=login)
    four_attempts(broker, "not authorised")
    told_once(running, "refuses the agent: .*check broker.username")
    assert "mistaken" not in running.log
    ours.write_text("right")
    viewer.usages("web", timeout=MENDED)
    assert viewer.missing("web") == 0


def test_the_broker_has_too_many_clients(
    fake_engine: FakeEngine, own_broker: OwnBroker, watch: Watch, view: View, subscribe: Subscribe
) -> None:
    """A broker that shows the agent the door is not hammered at, and used as soon as there is room."""
    broker = own_broker("max_connections 1")  # mosquitto 2.0.11 lets one more in than it says
    viewer, other = view(broker), subscribe(broker.url, "elsewhere")
    fake_engine.run("web")
    running = watch(fake_engine, broker, backoff=BACKOFF)
    # Each second a look whether it is back, and in each step an attempt with either version of MQTT.
    moments = log_moments(broker, "denied: max_connections exceeded", 12)
    assert moments[11] - moments[0] >= 3
    told_once(running, "Or has it all the clients that it takes")
    other.close()
    viewer.usages("web", timeout=MENDED)
    assert viewer.missing("web") == 0


def log_moments(broker: Mosquitto, pattern: str, count: int) -> list[int]:
    """Wait for so many lines of the broker's log that match; return the times of all that do, in whole seconds."""

    def moments() -> list[int]:
        return [int(line.partition(":")[0]) for line in broker.log.splitlines() if re.search(pattern, line)]

    wait_until(lambda: len(moments()) >= count, 90, f"{len(moments())} of {count} lines match {pattern!r}")
    return moments()


def four_attempts(broker: Mosquitto, pattern: str) -> None:
    """Wait for four lines of the broker's log that each stand for an attempt, and fail if they came too fast."""
    moments = log_moments(broker, pattern, 4)
    assert moments[3] - moments[0] >= int(WAITS), moments
