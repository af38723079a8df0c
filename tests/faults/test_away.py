"""The engine or the broker is killed, frozen or away: what subscribers see, and that the counters add up."""

import time
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import slack
from support.daemons.subscriber import retained

from faults.assertions import SOON

Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]
OwnBroker = Callable[..., Mosquitto]


def test_crashed_engine_stops_no_container(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """No container is published as stopped because its daemon crashed; one that ended since is, with its exit code."""
    engine, broker = own_engine("--live-restore"), own_broker()
    viewer = view(broker)
    engine.run(name="web")
    engine.run("sh", "-c", "sleep 6; exit 4", name="ends")
    running = watch(engine, broker)
    viewer.usages("web")
    engine.kill()
    running.wait_for_line("looking for it every")
    back = time.monotonic()
    engine.start()
    viewer.usages("web", after=back, timeout=SOON)
    assert viewer.status("ends", "exited")["exit_code"] == 4
    assert viewer.statuses("web") == ["running"]
    assert viewer.missing("web") == 0


def test_restarted_engine_without_live_restore_ends_containers(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """Without live-restore the containers end with the daemon, which is published; new ones are tracked again."""
    engine, broker = own_engine(), own_broker()
    viewer = view(broker)
    engine.run(name="web")
    watch(engine, broker)
    viewer.usages("web")
    engine.restart()
    viewer.status("web", "exited")
    again = time.monotonic()
    engine.docker("start", "web")
    viewer.usages("web", after=again, timeout=SOON)


def test_frozen_engine_stops_no_container(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """An engine that hangs stops no container; the usage after that covers the time in between."""
    engine, broker = own_engine(), own_broker()
    viewer = view(broker)
    engine.run(name="web")
    running = watch(engine, broker, engine={"timeout": 2})
    viewer.usages("web", count=2)
    engine.freeze()
    running.wait_for_line("did not answer within")
    back = time.monotonic()
    engine.thaw()
    viewer.usages("web", count=2, after=back, timeout=SOON)
    assert viewer.statuses("web") == ["running"]
    assert viewer.counters(after=time.monotonic())["engine"]["errors"] > 0


@pytest.mark.parametrize("engine_is", ["up", "down", "frozen"])
@pytest.mark.parametrize("broker_is", ["up", "down", "frozen"])
def test_sigterm_ends_the_agent_in_time_whatever_is_broken(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View, engine_is: str, broker_is: str
) -> None:
    """The exit code is 0, and `stopped` is retained if the broker lives."""
    engine, broker = own_engine("--live-restore"), own_broker()
    viewer = view(broker)
    engine.run(name="web")
    running = watch(engine, broker)
    viewer.usages("web")
    for part, state in ((engine, engine_is), (broker, broker_is)):
        {"up": lambda: None, "down": part.kill, "frozen": part.freeze}[state]()
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 2 + 2 + slack()  # shutdown.timeout, and two seconds for everything else
    engine.thaw()
    if broker_is == "frozen":
        broker.thaw()
        viewer.agent("exit", "connection lost")
    if broker_is == "up":
        words = {
            topic: payload for topic, payload in retained(broker.url, f"{ROOT}/#").items() if b'"stopped"' in payload
        }
        assert set(words) == {f"{ROOT}/status", f"{ROOT}/web/status"}


def test_agent_waits_for_engine_and_broker(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """An agent that is started first waits for both, and works as soon as they are available."""
    engine, broker = own_engine(), own_broker()
    engine.run(name="web", restart="always")
    engine.stop()
    broker.stop()
    running = watch(engine, broker)
    running.wait_for_line("nobody listens there")
    running.wait_for_line("looking for it every")
    broker.start()
    viewer = view(broker)
    assert "engine" not in viewer.agent("running")
    engine.start()
    viewer.usages("web")
    assert viewer.agent("running")["engine"]["api"]
