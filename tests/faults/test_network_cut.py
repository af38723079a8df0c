"""The network between agent and broker goes: packets vanish, and nobody is told."""

import time
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.network import FarBroker, Network
from support.daemons.processes import slack
from support.daemons.subscriber import retained
from support.fakes.engine import FakeEngine

from faults.assertions import SOON
from faults.load import Load

Watch = Callable[..., RunningAgent]
View = Callable[..., RecordingSubscriber]

LOST = "lost the connection to mqtt://10.0.2.2"


def test_cut_while_nothing_flows(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, watch: Watch, view: View
) -> None:
    """A connection over which nothing goes is found dead by its keepalive; subscribers are told by the will."""
    viewer = view(far_broker)
    fake_engine.run("web")
    running = watch(fake_engine, far_broker, agent={"interval": 3600}, broker={"keepalive": 4})
    viewer.usages("web")
    network.cut()
    began = time.monotonic()
    running.wait_for_line(LOST)
    assert time.monotonic() - began < 2 * 4 + slack()
    viewer.agent("connection lost")
    network.mend()
    back = time.monotonic()
    viewer.agent("running", after=back, timeout=SOON)
    assert b'"running"' in retained(far_broker.url, f"{ROOT}/status")[f"{ROOT}/status"]


def test_cut_is_shorter_than_the_patience(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, watch: Watch, view: View
) -> None:
    """A cut of a second is no more than a delay: the connection is kept, and nothing is lost."""
    viewer = view(far_broker)
    crowd = Load(fake_engine, 1)
    watch(fake_engine, far_broker)
    (name,) = crowd.names
    viewer.usages(name, count=2)
    network.cut()
    crowd.wait_for(2)
    network.mend()
    viewer.usages(name, count=2, after=time.monotonic(), timeout=SOON)
    assert viewer.counters(after=time.monotonic())["broker"] == {"connects": 1, "disconnects": 0}
    assert viewer.missing(name) == 0


def test_the_brokers_host_loses_its_power(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, watch: Watch, view: View
) -> None:
    """A connection of which only the agent knows any more is given up, and the new broker gets everything."""
    viewer = view(far_broker)
    fake_engine.run("web")
    running = watch(fake_engine, far_broker)
    viewer.usages("web", count=2)
    network.cut()
    far_broker.kill()
    far_broker.start()
    network.mend()
    back = time.monotonic()
    viewer.usages("web", after=back, timeout=SOON)
    running.wait_for_line(LOST)
    topics = {f"{ROOT}/status", f"{ROOT}/web/status"}
    assert set(retained(far_broker.url, f"{ROOT}/#")) == topics


def test_a_connection_of_which_only_the_broker_knows(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, watch: Watch, view: View
) -> None:
    """The broker's late will for the old connection does not outlive the new one's status."""
    viewer = view(far_broker)
    fake_engine.run("web")
    running = watch(fake_engine, far_broker, broker={"keepalive": 60})
    viewer.usages("web", count=2)
    network.cut()
    running.wait_for_line(LOST)
    network.mend()
    back = time.monotonic()
    viewer.usages("web", count=2, after=back, timeout=SOON)
    viewer.agent("connection lost")
    assert b'"running"' in retained(far_broker.url, f"{ROOT}/status")[f"{ROOT}/status"]


def test_cut_before_the_agent_starts(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, watch: Watch, view: View
) -> None:
    """An agent whose packets get nowhere says so once, and works as soon as the way is open."""
    viewer = view(far_broker)
    fake_engine.run("web")
    network.cut()
    running = watch(fake_engine, far_broker)
    running.wait_for_line("no answer; is the broker running, and does a firewall let the agent through")
    network.mend()
    back = time.monotonic()
    viewer.usages("web", after=back, timeout=SOON)
    assert viewer.missing("web") == 0


@pytest.mark.parametrize("noticed", [False, True])
def test_sigterm_while_the_network_is_cut_ends_in_time(
    fake_engine: FakeEngine, far_broker: FarBroker, network: Network, watch: Watch, view: View, noticed: bool
) -> None:
    """SIGTERM ends the agent in time, whether it knows of the cut or not."""
    viewer = view(far_broker)
    fake_engine.run("web")
    running = watch(fake_engine, far_broker)
    viewer.usages("web")
    network.cut()
    if noticed:
        running.wait_for_line(LOST)
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 2 + 2 + slack()  # shutdown.timeout, what the contract adds, a busy machine
