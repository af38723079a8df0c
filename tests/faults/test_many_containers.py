"""Hundreds of containers at once: a shortage is logged once, no container is forgotten, and nothing grows."""

import time
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.network import FarBroker, Network
from support.daemons.processes import slack
from support.daemons.subscriber import retained
from support.fakes.engine import FakeEngine
from support.progress import report

from faults.assertions import SOON
from faults.churn import A_LIFE, Size, quiet
from faults.load import Footprint, Load, wait_for_all

Record = Callable[..., RecordingSubscriber]
StartAgent = Callable[..., RunningAgent]

LOST = "lost the connection to mqtt://10.0.2.2"


def test_default_descriptor_limit_is_raised(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """Three hundred containers under the usual soft limit, which the agent may raise: all have usages."""
    subscriber = record(broker)
    report("starting 300 containers of the fake engine")
    for number in range(300):
        fake_engine.run(f"one-{number}")
    running = start_agent(fake_engine, broker, inside=["sh", "-c", 'ulimit -S -n 256 && exec "$@"', "sh"])
    wait_for_all(subscriber, 300)
    assert running.fds() > 256
    assert running.stop() == 0
    assert " warning " not in running.log


def test_fixed_descriptor_limit_is_logged_once(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """If the limit cannot be raised, most containers have usages, and every start and end is published."""
    subscriber = record(broker)
    report("starting 300 containers of the fake engine")
    containers = [fake_engine.run(f"one-{number}") for number in range(300)]
    running = start_agent(fake_engine, broker, inside=["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"])
    for container in containers:
        subscriber.status(container.name, "running")
    wait_for_all(subscriber, 150)
    assert len(running.wait_for_line("256 descriptors.*raise the limit")) == 1
    fake_engine.die(containers[-1], 3)
    fake_engine.run("late")
    assert subscriber.status(containers[-1].name, "exited")["exit_code"] == 3
    subscriber.status("late", "running")
    subscriber.counters(after=time.monotonic() + 8)  # the events have been asked for anew by now
    assert len([line for line in running.lines if " warning " in line]) == 1
    assert running.stop() == 0
    subscriber.agent("exit")


def test_two_hundred_containers_leave_nothing_behind(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """All start at once, end at once, and are removed: everything is published in order, and nothing is left."""
    subscriber = record(broker)
    running = start_agent(fake_engine, broker, topics={"forget_removed": 1})
    size = Size(running, subscriber)
    containers = [fake_engine.run(f"one-{number}") for number in range(200)]
    for container in containers:
        subscriber.status(container.name, "running")
    for number, container in enumerate(containers):
        fake_engine.die(container, number)
    for number, container in enumerate(containers):
        assert subscriber.status(container.name, "exited")["exit_code"] == number
    for container in containers:
        fake_engine.destroy(container)
    for container in containers:
        subscriber.status(container.name, "cleared")
        assert subscriber.statuses(container.name) == A_LIFE
    assert subscriber.counters(after=time.monotonic() + 1)["containers"] == 0
    assert set(retained(broker.url, f"{ROOT}/#")) == {f"{ROOT}/status"}
    size.check()
    assert quiet(running)


@pytest.mark.parametrize("qos", [0, 1])
def test_cut_while_usages_flow(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, start_agent: StartAgent, record: Record, qos: int
) -> None:
    """The cut is noticed within twice the keepalive; nothing grows; afterwards each usage arrived or was counted."""
    subscriber = record(far_broker)
    crowd = Load(fake_engine, 100)
    running = start_agent(
        fake_engine, far_broker, agent={"interval": 0.5}, broker={"keepalive": 5, "qos": qos}, outbox={"capacity": 500}
    )
    subscriber.usages(crowd.names[-1], count=2)
    network.cut()
    began = time.monotonic()
    running.wait_for_line(LOST)
    assert time.monotonic() - began < 2 * 5 + slack()
    crowd.wait_for(500)
    before = Footprint.of(running)
    crowd.wait_for(2000)
    before.assert_kept(running)
    network.mend()
    back = time.monotonic()
    subscriber.usages(crowd.names[0], after=back, timeout=SOON)
    dropped = crowd.settled(subscriber, back)["outbox"]["dropped"]
    assert dropped > 0
    # Without acknowledgements, what was written to the socket counts as sent: what was under way then is lost.
    assert crowd.missing(subscriber) >= dropped if qos == 0 else crowd.missing(subscriber) == dropped
    assert len(running.wait_for_line(LOST)) == 1
