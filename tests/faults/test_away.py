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


def test_the_engine_is_killed_and_containers_live_on(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """No container is called stopped because its daemon crashed; one that ended meanwhile is, with its exit code."""
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


def test_the_engine_is_restarted_with_its_containers(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """Without live-restore a daemon's end is its containers' end, and that is told; new ones are followed again."""
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


def test_the_engine_is_frozen(own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View) -> None:
    """An engine that hangs stops no container; the figures that come afterwards cover the time in between."""
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
def test_the_end_in_time(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View, engine_is: str, broker_is: str
) -> None:
    """Whatever is broken, SIGTERM ends the agent in time and with 0, and `stopped` is retained if the broker lives."""
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


def test_nothing_is_there_yet(own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View) -> None:
    """An agent that is started first waits for both, and works as soon as they come."""
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
