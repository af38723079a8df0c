"""How long things take, on a real engine and a real broker. `REPEAT=10 pytest -rP …/test_times.py` measures properly.

A test allows some seconds more than is promised, the more the busier the machine is. What it measured it prints.
"""

import os
import time
from collections.abc import Callable
from statistics import linear_regression, median

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber, word
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import slack
from support.daemons.subscriber import Received

from agent.runtime.timestamps import parse_time

Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]
OwnBroker = Callable[..., Mosquitto]

REPEAT = int(os.environ.get("REPEAT", "1"))

INTERVAL, SHUTDOWN = 1.0, 2.0  # the agent's, in these tests
AGENT_STARTS = 3.0
CONTAINER_RUNS, CONTAINER_USED, CONTAINER_ENDED = 1.0, 3.0, 1.0
BACK = INTERVAL + 2
ENDED = SHUTDOWN + 2

pytestmark = pytest.mark.timeout(600 + 60 * REPEAT)


def tell(what: str, took: list[float], promised: float) -> None:
    """Print what was measured, and fail where it took far too long."""
    print(f"{what}: median {median(took):.2f} s, longest {max(took):.2f} s of {len(took)}, promised {promised:g} s")
    assert max(took) < promised + slack()


def first(viewer: RecordingSubscriber, level: str, after: float, *words: str) -> Received:
    """Wait for the first message on a topic below the agent's, after a moment."""
    found = viewer.wait_for(
        lambda message: message.topic == f"{ROOT}/{level}" and (not words or word(message) in words), after=after
    )
    return found[0]


def last_first_usage(viewer: RecordingSubscriber, names: list[str], after: float) -> float:
    """When each of the containers has had a usage after a moment."""
    return max(first(viewer, f"{name}/usage", after).arrived for name in names)


def since(moment: str, message: Received) -> float:
    """Seconds from a time that the engine gives until a message came."""
    return time.time() - time.monotonic() + message.arrived - parse_time(moment) / 1e9


def test_the_agent_starts(engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View) -> None:
    """Status and first usage of each container, counted from before there is a process."""
    names = [f"c{number}" for number in range(8)]
    for name in names:
        engine.run(name=name)
    statuses, usages = [], []
    for _ in range(REPEAT):
        broker = own_broker()
        viewer = view(broker)
        began = time.monotonic()
        running = watch(engine, broker)
        usages.append(last_first_usage(viewer, names, began) - began)
        statuses.append(max(first(viewer, f"{name}/status", began).arrived for name in names) - began)
        running.stop()
    tell("agent started, statuses", statuses, AGENT_STARTS)
    tell("agent started, first usages", usages, AGENT_STARTS)


def test_containers_start_and_end(engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View) -> None:
    """`running`, the first usage and `stopped`, counted from when the engine says it began and ended."""
    broker = own_broker()
    viewer = view(broker)
    watch(engine, broker)
    viewer.agent("running")
    runs, used, ended = [], [], []
    for number in range(REPEAT):
        name, began = f"c{number}", time.monotonic()
        engine.run(name=name)
        usage = first(viewer, f"{name}/usage", began)
        engine.docker("kill", name)
        stopped = first(viewer, f"{name}/status", began, "exited")
        status = first(viewer, f"{name}/status", began, "running")
        runs.append(since(status.json["started_at"], status))
        used.append(since(status.json["started_at"], usage))
        ended.append(since(stopped.json["finished_at"], stopped))
    tell("container started, running", runs, CONTAINER_RUNS)
    tell("container started, first usage", used, CONTAINER_USED)
    tell("container ended, stopped", ended, CONTAINER_ENDED)


@pytest.mark.parametrize("was", ["killed", "frozen"])
@pytest.mark.slow
def test_the_engine_is_back(own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View, was: str) -> None:
    """Usages of each container, counted from when the engine answers."""
    engine, broker = own_engine("--live-restore"), own_broker()
    viewer = view(broker)
    names = [f"c{number}" for number in range(4)]
    for name in names:
        engine.run(name=name)
    running = watch(engine, broker)
    last_first_usage(viewer, names, 0)
    took = []
    for number in range(REPEAT):
        engine.kill() if was == "killed" else engine.freeze()
        missed = "cannot be reached" if was == "killed" else "did not answer within"
        running.wait_for_line(missed, count=number + 1)
        viewer.counters(after=time.monotonic())  # so that collectors have begun to wait
        back = time.monotonic()
        if was == "killed":
            engine.start()
            back = time.monotonic()
        else:
            engine.thaw()
        took.append(last_first_usage(viewer, names, back) - back)
    tell(f"engine was {was}, usages", took, BACK)


@pytest.mark.parametrize("was", ["killed", "frozen"])
@pytest.mark.slow
def test_the_broker_is_back(engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View, was: str) -> None:
    """Usages of each container, counted from when the broker answers."""
    broker = own_broker()
    viewer = view(broker)
    names = [f"c{number}" for number in range(4)]
    for name in names:
        engine.run(name=name)
    running = watch(engine, broker, broker={"keepalive": 2})
    last_first_usage(viewer, names, 0)
    took = []
    for number in range(REPEAT):
        broker.kill() if was == "killed" else broker.freeze()
        missed = "nobody listens there" if was == "killed" else "does not answer; is it frozen"
        running.wait_for_line(missed, count=number + 1)
        broker.start() if was == "killed" else broker.thaw()
        back = time.monotonic()
        viewer = view(broker) if was == "killed" else viewer
        took.append(last_first_usage(viewer, names, back) - back)
        # One that is lost within five seconds would not be trusted the next time.
        viewer.on(f"{ROOT}/agent", count=8, after=time.monotonic())
    tell(f"broker was {was}, usages", took, BACK)


@pytest.mark.parametrize("broker_is", ["up", "killed", "frozen"])
def test_sigterm(engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View, broker_is: str) -> None:
    """The process has ended."""
    engine.run(name="web")
    took = []
    for _ in range(REPEAT):
        broker = own_broker()
        viewer = view(broker)
        running = watch(engine, broker)
        viewer.usages("web")
        {"up": lambda: None, "killed": broker.kill, "frozen": broker.freeze}[broker_is]()
        began = time.monotonic()
        assert running.stop() == 0
        took.append(time.monotonic() - began)
        broker.thaw()
    tell(f"SIGTERM, broker {broker_is}", took, ENDED)


@pytest.mark.parametrize("source", ["stream", "poll"])
@pytest.mark.parametrize("interval", [1, 2, 5])
@pytest.mark.slow
def test_the_schedule(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View, source: str, interval: int
) -> None:
    """Usages come once an interval and do not drift away from that; at 1 s they come as the engine's tick has it."""
    broker = own_broker()
    viewer = view(broker)
    engine.run(name="web")
    watch(engine, broker, agent={"interval": interval}, engine={"source": source})
    count = 6 * REPEAT
    usages = viewer.usages("web", count=count + 3)
    taken = [usage["timestamp"] / 1e9 for usage in usages[2:]]  # the first comes at once, wherever the grid is
    period = linear_regression(range(len(taken)), taken).slope
    print(f"{source} at {interval} s: {period:.4f} s apart, {100 * (period / interval - 1):+.2f} % over {count}")
    assert period == pytest.approx(interval, rel=0.1 if interval == 1 else 0.01, abs=1 / count)
