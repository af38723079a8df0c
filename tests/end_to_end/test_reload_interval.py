"""A new `agent.interval` takes effect at a SIGHUP: for every source, without a gap and without a lost baseline."""

import signal
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE
from support.daemons.subscriber import Subscriber
from support.fakes.engine import FakeEngine

StartAgent = Callable[..., RunningAgent]
Record = Callable[..., RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]
OwnEngine = Callable[..., PrivateEngine]


def change_interval(running: RunningAgent, subscriber: RecordingSubscriber, name: str, interval: float) -> None:
    """Reload with another interval, and wait until the agent says so and two usages in a row cover about that."""
    begun = time.monotonic()
    running.reload(agent={"interval": interval})
    subscriber.wait_for(lambda message: message.topic == f"{ROOT}/status" and message.json["interval"] == interval)
    subscriber.wait_for_on(
        f"{ROOT}/{name}/usage",
        lambda message: bool(abs(message.json["interval"] - interval) < interval / 3),
        PATIENCE,
        2,
        begun,
    )


def assert_seamless(subscriber: RecordingSubscriber, name: str) -> list[Any]:
    """Fail if a usage is missing, came twice, or does not begin where the one before has ended. Return them all."""
    usages = subscriber.usages(name)
    assert [usage["seq"] for usage in usages] == list(range(1, len(usages) + 1))
    for earlier, later in pairwise(usages):
        assert later["interval"] * 1e9 == pytest.approx(later["timestamp"] - earlier["timestamp"], abs=1e6)
    return usages


@pytest.mark.parametrize("source", ["kernel", "poll", "stream"])
def test_interval_goes_up_and_down(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, source: str
) -> None:
    """No usage is lost or doubled, each begins where the last one ended, and the agent stays connected."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    running = start_agent(engine, broker, engine={"source": source})
    subscriber.usages("web", count=2)
    for interval in (3, 1, 4, 1):
        change_interval(running, subscriber, "web", interval)
    assert_seamless(subscriber, "web")
    assert subscriber.statuses("web") == ["running"]
    assert subscriber.counters(after=time.monotonic())["broker"] == {"connects": 1, "disconnects": 0}
    assert "warning" not in running.log


def test_auto_changes_between_stream_and_poll(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Where the kernel's files cannot be read, the cheaper of the two is used after a reload, too."""
    fake_engine.run("web")
    broker = own_broker()
    subscriber = record(broker)
    running = start_agent(fake_engine, broker)
    subscriber.usages("web", count=2)
    streams = fake_engine.requests["/containers/{id}/stats"]
    change_interval(running, subscriber, "web", 2)
    assert subscriber.agent("running")["source"] == "poll"
    assert fake_engine.requests["/containers/{id}/stats"] >= streams + 2, "one for each usage"
    change_interval(running, subscriber, "web", 1)
    assert subscriber.agent("running")["source"] == "stream"
    polls = fake_engine.requests["/containers/{id}/stats"]
    subscriber.usages("web", after=time.monotonic(), count=3)
    assert fake_engine.requests["/containers/{id}/stats"] == polls, "the stream stays open"
    assert_seamless(subscriber, "web")


def test_container_with_an_interval_of_its_own_keeps_it(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Its label overrides `agent.interval`, whatever that becomes."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    engine.run(name="own", label="usage-agent.interval=1")
    running = start_agent(engine, broker, agent={"interval": 2})
    subscriber.usages("own", count=2)
    subscriber.usages("web")
    change_interval(running, subscriber, "web", 5)
    change_interval(running, subscriber, "web", 2)
    assert len(assert_seamless(subscriber, "own")) > len(assert_seamless(subscriber, "web"))
    assert all(usage["interval"] < 4 for usage in subscriber.usages("own"))


@pytest.mark.parametrize("source", ["poll", "stream"])
def test_interval_of_an_hour_is_cut_short(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, source: str
) -> None:
    """The agent does not wait for the reading of the old schedule; the next usage covers the time since the last."""
    fake_engine.run("web")
    broker = own_broker()
    subscriber = record(broker)
    running = start_agent(fake_engine, broker, agent={"interval": 3600}, engine={"source": source})
    subscriber.usages("web")
    change_interval(running, subscriber, "web", 1)
    assert len(assert_seamless(subscriber, "web")) >= 3


def test_interval_changes_without_the_engine(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """The kernel's files are only read at other moments: the engine is not needed for it."""
    own, broker = own_engine("--live-restore"), own_broker()
    subscriber = record(broker)
    own.run(name="web")
    running = start_agent(own, broker)
    subscriber.usages("web", count=2)
    own.kill()
    running.wait_for_line("cannot be reached")
    change_interval(running, subscriber, "web", 2)
    change_interval(running, subscriber, "web", 0.5)
    assert_seamless(subscriber, "web")
    assert subscriber.statuses("web") == ["running"]


@pytest.mark.parametrize("interval", [0.5, 2])
def test_many_reloads_while_usages_flow(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, interval: float
) -> None:
    """Twenty containers lose nothing, however often the interval changes, and whatever source it leads to."""
    names = [f"c{number:02}" for number in range(20)]
    for name in names:
        fake_engine.run(name)
    broker = own_broker()
    subscriber = record(broker)
    running = start_agent(fake_engine, broker)
    for name in names:
        subscriber.usages(name)
    for number in range(1, 21):
        running.reload(agent={"interval": interval if number % 2 else 1})
        running.wait_for_line("reload: agent.interval takes effect", count=number)
    for _ in range(50):
        running.signal(signal.SIGHUP)
    running.wait_for_line("reload: nothing has changed")
    for name in names:
        change = time.monotonic()
        subscriber.usages(name, after=change, count=3)
        assert_seamless(subscriber, name)
        assert subscriber.statuses(name) == ["running"]
    counters = subscriber.counters(after=time.monotonic())
    assert counters["outbox"]["dropped"] == 0
    assert counters["broker"] == {"connects": 1, "disconnects": 0}


def test_home_assistant_waits_longer_for_values_of_a_longer_interval(
    engine: PrivateEngine,
    own_broker: OwnBroker,
    start_agent: StartAgent,
    record: Record,
    subscribe: Callable[..., Subscriber],
) -> None:
    """Both devices are announced again: otherwise the values would become unavailable between two usages."""
    broker = own_broker()
    subscriber, discovery = record(broker), subscribe(broker.url, "homeassistant/#")
    engine.run(name="web")
    running = start_agent(engine, broker, home_assistant={"enabled": True})
    topics = [f"homeassistant/device/usage-agent_{name}/config" for name in ("h", "h_web")]
    for topic in topics:
        discovery.wait_for_on(topic, lambda message: expiries(message.json) == {15}, PATIENCE, 1, 0)
    subscriber.usages("web")
    running.reload(agent={"interval": 60})
    for topic in topics:
        discovery.wait_for_on(topic, lambda message: expiries(message.json) == {180}, PATIENCE, 1, 0)


def expiries(payload: Any) -> set[int]:
    """Return the seconds after which the values of a device expire."""
    return {entity["expire_after"] for entity in payload["components"].values() if "expire_after" in entity}
