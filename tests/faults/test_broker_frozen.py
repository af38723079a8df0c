"""The broker is frozen: its kernel still accepts connections and bytes for it."""

import time
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import slack
from support.fakes.engine import FakeEngine

from faults.assertions import SOON
from faults.load import Footprint, Load, came

StartAgent = Callable[..., RunningAgent]
Record = Callable[..., RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

GIVEN_UP = "lost the connection to .*(no sign of life|timed out)"


def test_frozen_broker_is_noticed_and_used_again(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """A broker that is silent for longer than the keepalive allows is lost, and is used again when it is back."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    running = start_agent(engine, broker, broker={"keepalive": 2})
    subscriber.usages("web", count=2)
    broker.freeze()
    running.wait_for_line("lost the connection|does not answer|no answer")
    back = time.monotonic()
    broker.thaw()
    subscriber.usages("web", count=3, after=back, timeout=SOON)
    counters = subscriber.counters(after=time.monotonic())
    assert counters["broker"]["connects"] >= 2
    assert counters["outbox"]["dropped"] == subscriber.missing("web") == 0


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_frozen_broker_under_load_costs_no_memory(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, qos: int
) -> None:
    """It is noticed within twice the keepalive, nothing grows, and what is lost is counted.

    With QoS 0 paho would take all messages into memory, and the kernel takes what fits into its buffers.
    """
    broker = own_broker("max_inflight_messages 0", "max_queued_messages 0")
    subscriber = record(broker)
    crowd = Load(fake_engine, 100)
    running = start_agent(
        fake_engine, broker, agent={"interval": 0.5}, broker={"keepalive": 3, "qos": qos}, outbox={"capacity": 150}
    )
    crowd.settled(subscriber, 0)
    broker.freeze()
    began = time.monotonic()
    running.wait_for_line(GIVEN_UP)
    assert time.monotonic() - began < 2 * 3 + slack()
    running.wait_for_line("is it frozen")
    before = Footprint.of(running)
    crowd.wait_for(2000)
    before.assert_kept(running)
    back = time.monotonic()
    broker.thaw()
    counters = crowd.settled(subscriber, back)
    assert counters["outbox"]["dropped"] > 0
    assert counters["broker"]["connects"] == 2
    if qos == 0:
        assert crowd.missing(subscriber) >= counters["outbox"]["dropped"]
    else:
        assert crowd.missing(subscriber) == counters["outbox"]["dropped"]


def test_short_freeze_keeps_the_connection(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """After a freeze shorter than the keepalive the connection is the same; nothing is lost, nothing comes twice."""
    broker = own_broker("max_inflight_messages 0", "max_queued_messages 0")
    subscriber = record(broker)
    crowd = Load(fake_engine, 20)
    start_agent(fake_engine, broker, agent={"interval": 0.5})
    crowd.settled(subscriber, 0)
    broker.freeze()
    crowd.wait_for(100)
    broker.thaw()
    counters = crowd.settled(subscriber, time.monotonic())
    assert counters["broker"] == {"connects": 1, "disconnects": 0}
    assert crowd.missing(subscriber) == counters["outbox"]["dropped"] == 0
    for name in crowd.names:
        numbers = came(subscriber, name)
        assert numbers == list(range(1, len(numbers) + 1))
