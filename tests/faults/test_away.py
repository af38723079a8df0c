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

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]
OwnBroker = Callable[..., Mosquitto]


def test_crashed_engine_stops_no_container(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """No container is published as stopped because its daemon crashed; one that ended since is, with its exit code."""
    engine, broker = own_engine("--live-restore"), own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    engine.run("sh", "-c", "sleep 6; exit 4", name="ends")
    running = start_agent(engine, broker)
    subscriber.usages("web")
    engine.kill()
    running.wait_for_line("looking for it every")
    back = time.monotonic()
    engine.start()
    subscriber.usages("web", after=back, timeout=SOON)
    assert subscriber.status("ends", "exited")["exit_code"] == 4
    assert subscriber.statuses("web") == ["running"]
    assert subscriber.missing("web") == 0


def test_restarted_engine_without_live_restore_ends_containers(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Without live-restore the containers end with the daemon, which is published; new ones are tracked again."""
    engine, broker = own_engine(), own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    start_agent(engine, broker)
    subscriber.usages("web")
    engine.restart()
    subscriber.status("web", "exited")
    again = time.monotonic()
    engine.docker("start", "web")
    subscriber.usages("web", after=again, timeout=SOON)


def test_frozen_engine_stops_no_container(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """An engine that hangs stops no container; the usage after that covers the time in between."""
    engine, broker = own_engine(), own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    running = start_agent(engine, broker, engine={"timeout": 2})
    subscriber.usages("web", count=2)
    engine.freeze()
    running.wait_for_line("did not answer within")
    back = time.monotonic()
    engine.thaw()
    subscriber.usages("web", count=2, after=back, timeout=SOON)
    assert subscriber.statuses("web") == ["running"]
    assert subscriber.counters(after=time.monotonic())["engine"]["errors"] > 0


@pytest.mark.parametrize("engine_is", ["up", "down", "frozen"])
@pytest.mark.parametrize("broker_is", ["up", "down", "frozen"])
def test_sigterm_ends_the_agent_in_time_whatever_is_broken(
    own_engine: OwnEngine,
    own_broker: OwnBroker,
    start_agent: StartAgent,
    record: Record,
    engine_is: str,
    broker_is: str,
) -> None:
    """The exit code is 0, and `stopped` is retained if the broker lives."""
    engine, broker = own_engine("--live-restore"), own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    running = start_agent(engine, broker)
    subscriber.usages("web")
    for part, state in ((engine, engine_is), (broker, broker_is)):
        {"up": lambda: None, "down": part.kill, "frozen": part.freeze}[state]()
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 2 + 2 + slack()  # shutdown.timeout, and two seconds for everything else
    engine.thaw()
    if broker_is == "frozen":
        broker.thaw()
        subscriber.agent("exit", "connection lost")
    if broker_is == "up":
        words = {
            topic: payload for topic, payload in retained(broker.url, f"{ROOT}/#").items() if b'"stopped"' in payload
        }
        assert set(words) == {f"{ROOT}/status", f"{ROOT}/web/status"}


def test_agent_waits_for_engine_and_broker(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """An agent that is started first waits for both, and works as soon as they are available."""
    engine, broker = own_engine(), own_broker()
    engine.run(name="web", restart="always")
    engine.stop()
    broker.stop()
    running = start_agent(engine, broker)
    running.wait_for_line("nobody listens there")
    running.wait_for_line("looking for it every")
    broker.start()
    subscriber = record(broker)
    assert "engine" not in subscriber.agent("running")
    engine.start()
    subscriber.usages("web")
    assert subscriber.agent("running")["engine"]["api"]
