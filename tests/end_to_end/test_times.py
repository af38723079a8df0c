"""The promised times, on a real engine and a real broker. `REPEAT=10 pytest -rP …/test_times.py` measures properly.

Each test prints its measurements. It allows `slack()` seconds more than promised, which grow with the machine's load.
"""

import os
import time
from collections.abc import Callable
from statistics import linear_regression, median

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber, summary
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import slack
from support.daemons.subscriber import Received

from agent.runtime.timestamps import parse_time

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]
OwnBroker = Callable[..., Mosquitto]

REPEAT = int(os.environ.get("REPEAT", "1"))

INTERVAL, SHUTDOWN = 1.0, 2.0  # the agent's, in these tests
AGENT_STARTS = 3.0
CONTAINER_RUNS, CONTAINER_USED, CONTAINER_ENDED = 1.0, 3.0, 1.0
BACK = INTERVAL + 2
ENDED = SHUTDOWN + 2

pytestmark = pytest.mark.timeout(600 + 60 * REPEAT)


def report(what: str, took: list[float], promised: float) -> None:
    """Print the measured times, and fail if the longest exceeds the promised time and the slack."""
    print(f"{what}: median {median(took):.2f} s, longest {max(took):.2f} s of {len(took)}, promised {promised:g} s")
    assert max(took) < promised + slack()


def first_message(subscriber: RecordingSubscriber, level: str, after: float, *summaries: str) -> Received:
    """Wait for the first message after a moment, on a topic level below the host's, with one of these summaries."""
    topic = f"{ROOT}/{level}"
    found = subscriber.wait_for(
        lambda message: message.topic == topic and (not summaries or summary(message) in summaries),
        after=after,
    )
    return found[0]


def last_of_first_usages(subscriber: RecordingSubscriber, names: list[str], after: float) -> float:
    """Return the moment at which the last of the containers has its first usage after another moment."""
    return max(first_message(subscriber, f"{name}/usage", after).arrived for name in names)


def seconds_since(moment: str, message: Received) -> float:
    """Return the seconds from a timestamp of the engine to the arrival of a message."""
    return time.time() - time.monotonic() + message.arrived - parse_time(moment) / 1e9


def test_agent_starts(engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record) -> None:
    """Status and first usage of each container come in time, measured from before the agent's process starts."""
    names = [f"c{number}" for number in range(8)]
    for name in names:
        engine.run(name=name)
    statuses, usages = [], []
    for _ in range(REPEAT):
        broker = own_broker()
        subscriber = record(broker)
        began = time.monotonic()
        running = start_agent(engine, broker)
        usages.append(last_of_first_usages(subscriber, names, began) - began)
        statuses.append(max(first_message(subscriber, f"{name}/status", began).arrived for name in names) - began)
        running.stop()
    report("agent started, statuses", statuses, AGENT_STARTS)
    report("agent started, first usages", usages, AGENT_STARTS)


def test_containers_start_and_end(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """`running`, first usage and `stopped` come in time, measured from the engine's start and end timestamps."""
    broker = own_broker()
    subscriber = record(broker)
    start_agent(engine, broker)
    subscriber.agent("running")
    runs, used, ended = [], [], []
    for number in range(REPEAT):
        name, began = f"c{number}", time.monotonic()
        engine.run(name=name)
        usage = first_message(subscriber, f"{name}/usage", began)
        engine.docker("kill", name)
        stopped = first_message(subscriber, f"{name}/status", began, "exited")
        status = first_message(subscriber, f"{name}/status", began, "running")
        runs.append(seconds_since(status.json["started_at"], status))
        used.append(seconds_since(status.json["started_at"], usage))
        ended.append(seconds_since(stopped.json["finished_at"], stopped))
    report("container started, running", runs, CONTAINER_RUNS)
    report("container started, first usage", used, CONTAINER_USED)
    report("container ended, stopped", ended, CONTAINER_ENDED)


@pytest.mark.parametrize("was", ["killed", "frozen"])
@pytest.mark.slow
def test_usages_resume_when_the_engine_is_back(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, was: str
) -> None:
    """Usages of each container come in time, measured from the engine's first answer."""
    engine, broker = own_engine("--live-restore"), own_broker()
    subscriber = record(broker)
    names = [f"c{number}" for number in range(4)]
    for name in names:
        engine.run(name=name)
    running = start_agent(engine, broker)
    last_of_first_usages(subscriber, names, 0)
    took = []
    for number in range(REPEAT):
        engine.kill() if was == "killed" else engine.freeze()
        missed = "cannot be reached" if was == "killed" else "did not answer within"
        running.wait_for_line(missed, count=number + 1)
        subscriber.counters(after=time.monotonic())  # so that collectors are in their backoff
        back = time.monotonic()
        if was == "killed":
            engine.start()
            back = time.monotonic()
        else:
            engine.thaw()
        took.append(last_of_first_usages(subscriber, names, back) - back)
    report(f"engine was {was}, usages", took, BACK)


@pytest.mark.parametrize("was", ["killed", "frozen"])
@pytest.mark.slow
def test_usages_resume_when_the_broker_is_back(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, was: str
) -> None:
    """Usages of each container come in time, measured from the broker's first answer."""
    broker = own_broker()
    subscriber = record(broker)
    names = [f"c{number}" for number in range(4)]
    for name in names:
        engine.run(name=name)
    running = start_agent(engine, broker, broker={"keepalive": 2})
    last_of_first_usages(subscriber, names, 0)
    took = []
    for number in range(REPEAT):
        broker.kill() if was == "killed" else broker.freeze()
        missed = "nobody listens there" if was == "killed" else "does not answer; is that an MQTT broker"
        running.wait_for_line(missed, count=number + 1)
        broker.start() if was == "killed" else broker.thaw()
        back = time.monotonic()
        subscriber = record(broker) if was == "killed" else subscriber
        took.append(last_of_first_usages(subscriber, names, back) - back)
        # A connection that is lost within five seconds would not reset the backoff.
        subscriber.on(f"{ROOT}/agent", count=8, after=time.monotonic())
    report(f"broker was {was}, usages", took, BACK)


@pytest.mark.parametrize("broker_is", ["up", "killed", "frozen"])
def test_sigterm_ends_the_agent(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, broker_is: str
) -> None:
    """The process ends in time after SIGTERM, whatever the state of the broker."""
    engine.run(name="web")
    took = []
    for _ in range(REPEAT):
        broker = own_broker()
        subscriber = record(broker)
        running = start_agent(engine, broker)
        subscriber.usages("web")
        {"up": lambda: None, "killed": broker.kill, "frozen": broker.freeze}[broker_is]()
        began = time.monotonic()
        assert running.stop() == 0
        took.append(time.monotonic() - began)
        broker.thaw()
    report(f"SIGTERM, broker {broker_is}", took, ENDED)


@pytest.mark.parametrize("source", ["stream", "poll"])
@pytest.mark.parametrize("interval", [1, 2, 5])
@pytest.mark.slow
def test_usages_keep_their_schedule(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, source: str, interval: int
) -> None:
    """Usages come once an interval without drift; at 1 s they follow the engine's own tick."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    start_agent(engine, broker, agent={"interval": interval}, engine={"source": source})
    count = 6 * REPEAT
    usages = subscriber.usages("web", count=count + 3)
    taken = [usage["timestamp"] / 1e9 for usage in usages[2:]]  # the first one comes at once, off the schedule
    period = linear_regression(range(len(taken)), taken).slope
    print(f"{source} at {interval} s: period {period:.4f} s, {100 * (period / interval - 1):+.2f} % over {count}")
    assert period == pytest.approx(interval, rel=0.1 if interval == 1 else 0.01, abs=1 / count)
