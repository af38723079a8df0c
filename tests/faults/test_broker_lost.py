"""The broker is killed, and comes back at once, late, or without its retained messages."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Received, retained
from support.fakes.engine import FakeEngine

from agent.mqtt.capabilities import MAX_IN_FLIGHT
from faults.assertions import SOON
from faults.load import Footprint, Load

StartAgent = Callable[..., RunningAgent]
Record = Callable[..., RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]


def come_back(broker: Mosquitto, running: RunningAgent) -> float:
    """Start the broker and let its one subscriber connect first, so that it can count all messages.

    Return when the agent can have seen the broker again.
    """
    running.freeze()
    subscriptions = broker.log.count("Sending SUBACK")
    broker.start()
    wait_until(
        lambda: broker.log.count("Sending SUBACK") > subscriptions, PATIENCE, "the subscriber does not come back"
    )
    running.thaw()
    return time.monotonic()


def test_broker_without_its_retained_messages_gets_every_status_again(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Usages flow again, and each missing usage was counted as dropped."""
    broker = own_broker()
    subscriber = record(broker, qos=0)
    for name in ("one", "two"):
        engine.run(name=name)
    engine.run("true", name="ended")
    running = start_agent(engine, broker, outbox={"capacity": 5})
    for name in ("one", "two"):
        subscriber.usages(name)
    known = set(retained(broker.url, f"{ROOT}/#"))
    broker.kill()
    waiting = record(own_broker())  # somebody to wait with: the outbox of five is full within three seconds
    with pytest.raises(AssertionError):
        waiting.counters(timeout=6)
    back = come_back(broker, running)
    for name in ("one", "two"):
        subscriber.usages(name, after=back, timeout=SOON)
    assert set(retained(broker.url, f"{ROOT}/#")) == known
    counters = subscriber.counters(after=time.monotonic())
    dropped = counters["outbox"]["dropped"]
    assert dropped > 0
    subscriber.wait_for(lambda _: subscriber.missing("one") + subscriber.missing("two") == dropped)
    assert subscriber.statuses("one").count("exited") == 0


def test_counters_are_exact_when_the_broker_is_killed_in_a_burst(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """No usage counts as sent that no subscriber received, and none as dropped that one received; three times over.

    This broker forwards a message before it acknowledges it.
    """
    broker = own_broker()
    subscriber = record(broker, qos=0)
    crowd = Load(fake_engine, 100)
    running = start_agent(fake_engine, broker, agent={"interval": 0.5}, outbox={"capacity": 150})
    crowd.settled(subscriber, 0)
    for _ in range(3):
        broker.kill()
        crowd.wait_for(400)
        back = come_back(broker, running)
        counters = crowd.settled(subscriber, back)
        assert crowd.missing(subscriber) == counters["outbox"]["dropped"] > 0
    assert counters["broker"] == {"connects": 4, "disconnects": 3}
    wait_until(
        lambda: len(retained(broker.url, f"{ROOT}/+/status")) == 100, PATIENCE, "not every status is there again"
    )


@pytest.mark.parametrize("on_full", ["drop_newest", "drop_oldest"])
def test_long_absence_of_the_broker_costs_no_memory(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, on_full: str
) -> None:
    """A hundred containers for ten minutes at an interval of a minute: memory stays, and the right usages survive."""
    broker = own_broker()
    subscriber = record(broker, qos=0)
    crowd = Load(fake_engine, 100)
    outbox = {"capacity": 150, "on_full": on_full}
    running = start_agent(fake_engine, broker, agent={"interval": 0.5}, outbox=outbox)
    crowd.settled(subscriber, 0)
    broker.kill()
    crowd.wait_for(500)
    before = Footprint.of(running)
    crowd.wait_for(1000)
    late = time.time_ns()
    crowd.wait_for(1500)
    before.assert_kept(running)
    back = come_back(broker, running)
    counters = crowd.settled(subscriber, back)
    missing, dropped = crowd.missing(subscriber), counters["outbox"]["dropped"]
    assert dropped > 2000
    # What was under way to the broker when it was killed may have arrived; as the oldest it is dropped all the same.
    assert missing <= dropped <= missing + (MAX_IN_FLIGHT if on_full == "drop_oldest" else 0)
    kept = [survivors(subscriber, name, back) for name in crowd.names]
    if on_full == "drop_newest":
        assert sum(len(early) for early, _ in kept) >= 150
    else:
        assert not any(early for early, _ in kept)
        assert all(after and after[0] > late for _, after in kept)


def survivors(subscriber: RecordingSubscriber, name: str, back: float) -> tuple[list[int], list[int]]:
    """Return the times of usages after the broker's return: those before the gap in their numbers, and after.

    There must be exactly one gap.
    """
    arrivals: dict[int, Received] = {}
    for message in subscriber.on(f"{ROOT}/{name}/usage"):
        arrivals.setdefault(message.json["seq"], message)  # what was under way may have come twice
    gaps = [next_ for one, next_ in pairwise(arrivals) if next_ != one + 1]
    assert len(gaps) == 1, f"{name}: {list(arrivals)}"
    late = [message for message in arrivals.values() if message.arrived >= back]
    early = [message.json["timestamp"] for message in late if message.json["seq"] < gaps[0]]
    return early, [message.json["timestamp"] for message in late if message.json["seq"] >= gaps[0]]
