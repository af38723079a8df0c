"""The clock of the agent's or the engine's host is set by an hour, back or forward."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons import faketime
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import FakeEngine

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

HOUR = 3600

pytestmark = [
    pytest.mark.faketime,
    pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["forward", "back"]),
]
whose = pytest.mark.parametrize("whose", ["the agent's", "the engine's", "both"])


class Clocks:
    """The clocks of an agent and of an engine."""

    def __init__(self, fake: FakeEngine, path: Path) -> None:
        self._fake, self._path = fake, path
        self.set("both", 0)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of an agent with this clock."""
        return faketime.environment(self._path)

    def set(self, whose: str, by: int) -> None:
        """Set one clock, or both, `by` seconds away from the true time."""
        if whose != "the agent's":
            self._fake.clock = by * 10**9
        if whose != "the engine's":
            faketime.set_clock(self._path, by)


@pytest.fixture
def clocks(fake_engine: FakeEngine, short_path: Path) -> Clocks:
    """Give the clocks of the fake engine and of agents with their environment."""
    return Clocks(fake_engine, short_path / "clock")


@whose
def test_usages_continue_when_the_clock_is_set(
    fake_engine: FakeEngine,
    own_broker: OwnBroker,
    start_agent: StartAgent,
    record: Record,
    clocks: Clocks,
    whose: str,
    by: int,
) -> None:
    """A usage comes once an interval as before, covers that interval, and its rates and percentages are right."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web", cpu=0.5, rx=1000)
    running = start_agent(fake_engine, broker, environment=clocks.environment)
    subscriber.usages("web", 3)
    clocks.set(whose, by)
    after = time.monotonic()
    hour = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() + (0 if whose == "the engine's" else by)))
    subscriber.wait_for(lambda m: m.topic == f"{ROOT}/agent" and m.json["time"].startswith(hour), after=after)
    usages = subscriber.usages("web", 6, after=after)
    arrived = [m.arrived for m in subscriber.messages if m.topic == f"{ROOT}/web/usage"]
    assert max(later - earlier for earlier, later in pairwise(arrived)) < 5
    assert subscriber.missing("web") == 0
    for usage in usages:
        assert 0.1 < usage["interval"] < 5
        assert usage["cpu"]["percent"] == pytest.approx(50, rel=0.05)
        assert usage["network"]["rx_rate"] == pytest.approx(1000, rel=0.05)
    assert set(subscriber.statuses("web")) == {"running"}
    assert subscriber.counters(after=after)["uptime"] < HOUR / 2
    assert " warning " not in running.log


@whose
def test_starts_and_ends_are_published_when_the_clock_is_set(
    fake_engine: FakeEngine,
    own_broker: OwnBroker,
    start_agent: StartAgent,
    record: Record,
    clocks: Clocks,
    whose: str,
    by: int,
) -> None:
    """Also events that seem to lie before earlier ones are published."""
    broker = own_broker()
    subscriber = record(broker)
    ends, restarts = fake_engine.run("ends"), fake_engine.run("restarts")
    start_agent(fake_engine, broker, environment=clocks.environment)
    subscriber.usages("ends")
    subscriber.usages("restarts")
    clocks.set(whose, by)
    fake_engine.die(ends, 3)
    fake_engine.die(restarts, 4)
    fake_engine.begin(restarts)
    again = time.monotonic()
    comes = fake_engine.run("comes")
    assert subscriber.status("ends", "exited")["exit_code"] == 3
    assert subscriber.status("restarts", "exited")["exit_code"] == 4
    subscriber.usages("restarts", 2, after=again)
    subscriber.usages("comes", 2, after=again)
    fake_engine.destroy(comes)
    fake_engine.destroy(ends)
    subscriber.status("comes", "removed")
    subscriber.status("ends", "removed")
    assert subscriber.statuses("ends") == ["running", "exited", "removed"]
    assert subscriber.statuses("restarts") == ["running", "exited", "running"]
    assert subscriber.statuses("comes") == ["running", "exited", "removed"]


@whose
def test_end_is_published_once_when_the_clock_is_set(
    fake_engine: FakeEngine,
    own_broker: OwnBroker,
    start_agent: StartAgent,
    record: Record,
    clocks: Clocks,
    whose: str,
    by: int,
) -> None:
    """The times of an end before the start are the engine's, too: a later inspection finds no others."""
    broker = own_broker()
    subscriber = record(broker)
    ends = fake_engine.run("ends")
    running = start_agent(fake_engine, broker, environment=clocks.environment)
    subscriber.usages("ends")
    clocks.set(whose, by)
    fake_engine.die(ends, 3)
    assert subscriber.status("ends", "exited")["exit_code"] == 3
    fake_engine.restart()
    running.wait_for_line("the engine is back")
    again = fake_engine.run("again")
    subscriber.status("again", "running")
    fake_engine.destroy(again)
    fake_engine.destroy(ends)
    subscriber.status("ends", "removed")
    assert subscriber.statuses("ends") == ["running", "exited", "removed"]


def test_waits_are_kept_when_the_clock_is_set(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, clocks: Clocks, by: int
) -> None:
    """A wait lasts as long as intended: it neither ends at once nor in an hour."""
    broker = own_broker("allow_anonymous false")
    start_agent(fake_engine, broker, environment=clocks.environment, backoff={"base": 4, "factor": 1, "cap": 4})
    attempts = attempts_of(broker)
    next(attempts)
    clocks.set("the agent's", by)
    first, second = next(attempts), next(attempts)
    assert 3 < second - first < 15


def test_removed_container_is_cleared_in_time_when_the_clock_is_set(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, clocks: Clocks, by: int
) -> None:
    """The topic is cleared in time by a monotonic clock, also across a restart of the agent."""
    broker = own_broker()
    subscriber = record(broker)
    web = fake_engine.run("web")
    running = start_agent(fake_engine, broker, environment=clocks.environment, topics={"forget_removed": 4})
    subscriber.status("web", "running")
    fake_engine.destroy(web)
    subscriber.status("web", "removed")
    running.kill()
    clocks.set("the agent's", by)
    start_agent(fake_engine, broker, environment=clocks.environment, topics={"forget_removed": 4})
    subscriber.status("web", "cleared")


def attempts_of(broker: Mosquitto) -> Iterator[float]:
    """Return when the broker refused the agent, by the monotonic clock."""
    for refused in count(1):
        wait_until(partial(refuses, broker, refused), PATIENCE, "the agent does not try again")
        yield time.monotonic()


def refuses(broker: Mosquitto, times: int) -> bool:
    """Return whether the broker has refused a client so often."""
    return broker.log.count("not authorised") >= times
