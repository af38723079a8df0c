"""Containers come, go, restart, are paused and renamed faster than anybody could follow: each is told of, in order."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import retained
from support.fakes.engine import FakeEngine

from faults.load import ALONE

Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

IDLE = 32  # connections to the engine that are kept open for later calls
A_LIFE = ["running", "exited", "removed", "cleared"]


class Size:
    """The agent's threads and descriptors now; `check` holds it to them later, when all collectors have ended."""

    def __init__(self, running: RunningAgent, viewer: RecordingSubscriber) -> None:
        viewer.counters()
        self._running = running
        self._threads, self._fds = running.threads(), running.fds()

    def check(self) -> None:
        """Wait until nothing is left behind but idle connections."""
        running = self._running
        wait_until(lambda: running.threads() <= self._threads, PATIENCE, "threads are left behind")
        wait_until(lambda: running.fds() <= self._fds + IDLE, PATIENCE, "descriptors are left behind")


@pytest.fixture
def broker(own_broker: OwnBroker) -> Mosquitto:
    """Give a broker of the test's own, for every agent here is on host `h`."""
    return own_broker()


@ALONE
def test_two_hundred_containers_come_and_go(
    fake_engine: FakeEngine, broker: Mosquitto, watch: Watch, view: View
) -> None:
    """All at once, and end all at once, and are removed: everything is told, in order, and nothing is left."""
    viewer = view(broker)
    running = watch(fake_engine, broker, topics={"forget_removed": 1})
    size = Size(running, viewer)
    containers = [fake_engine.run(f"one-{number}") for number in range(200)]
    for container in containers:
        viewer.status(container.name, "running")
    for number, container in enumerate(containers):
        fake_engine.die(container, number)
    for number, container in enumerate(containers):
        assert viewer.status(container.name, "exited")["exit_code"] == number
    for container in containers:
        fake_engine.destroy(container)
    for container in containers:
        viewer.status(container.name, "cleared")
        assert viewer.statuses(container.name) == A_LIFE
    assert viewer.counters(after=time.monotonic() + 1)["containers"] == 0
    assert set(retained(broker.url, f"{ROOT}/#")) == {f"{ROOT}/status"}
    size.check()
    assert quiet(running)


def test_forty_containers_come_and_go(engine: PrivateEngine, broker: Mosquitto, watch: Watch, view: View) -> None:
    """The same on a real engine, eight at a time, as fast as it can."""
    viewer = view(broker)
    running = watch(engine, broker, topics={"forget_removed": 1})
    size = Size(running, viewer)
    names = [f"one-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: engine.run(name=name), names))
        for name in names:
            viewer.status(name, "running")
        list(pool.map(engine.remove, names))
    for name in names:
        viewer.status(name, "cleared")
        assert viewer.statuses(name) == A_LIFE
    assert viewer.counters(after=time.monotonic() + 1)["containers"] == 0
    size.check()
    assert quiet(running)


def test_containers_outlive_nothing(engine: PrivateEngine, broker: Mosquitto, watch: Watch, view: View) -> None:
    """One that dies within 100 ms ran and has ended, with its exit code; it has no usage, and nothing went wrong."""
    viewer = view(broker)
    running = watch(engine, broker)
    viewer.agent("running")
    brief = [f"brief-{number}" for number in range(20)]
    for number, name in enumerate(brief):
        engine.run("sh", "-c", f"sleep {number / 200}; exit {number + 1}", name=name)
    for number, name in enumerate(brief):
        assert viewer.status(name, "exited")["exit_code"] == number + 1
        assert viewer.statuses(name) == ["running", "exited"]
    engine.run("true", name="gone", rm=True)
    viewer.status("gone", "removed")
    assert viewer.statuses("gone") == ["running", "exited", "removed"]
    assert viewer.counters(after=time.monotonic() + 1)["outbox"]["added"] == 0
    assert quiet(running)


def test_a_name_is_used_fifty_times(fake_engine: FakeEngine, broker: Mosquitto, watch: Watch, view: View) -> None:
    """A job that is removed and made anew without a pause: one after the other at its topic, and the last one stays."""
    viewer = view(broker)
    running = watch(fake_engine, broker, topics={"forget_removed": 1})
    size = Size(running, viewer)
    made = []
    for number in range(50):
        made.append(fake_engine.run("job"))
        if number < 49:
            fake_engine.destroy(made[-1])
    viewer.wait_for(lambda m: m.topic == f"{ROOT}/job/usage" and m.json["container"]["id"] == made[-1].id)
    told = viewer.told("job")
    order = {container.id: place for place, container in enumerate(made)}
    assert told == sorted(told, key=lambda said: order[said[0]]), "they speak over each other"
    assert told[-1] == (made[-1].id, "running")
    fake_engine.destroy(made[-1])
    viewer.status("job", "cleared")
    assert {m.topic for m in viewer.messages if m.topic.startswith(f"{ROOT}/job")} == topics("job")
    size.check()
    assert quiet(running)


def test_a_job_is_done_ten_times(engine: PrivateEngine, broker: Mosquitto, watch: Watch, view: View) -> None:
    """`docker run --rm` again and again under one name, on a real engine: each run is told whole."""
    viewer = view(broker)
    running = watch(engine, broker)
    viewer.agent("running")
    made = []
    for number in range(10):
        made.append(engine.run("sh", "-c", f"exit {number}", name="job", rm=True))
        wait_until(lambda: made[-1] not in engine.containers(), PATIENCE, "it is not removed")
    viewer.wait_for(lambda _: (made[-1], "removed") in viewer.told("job"))
    runs = [(one, word) for one in made for word in ("running", "exited", "removed")]
    assert list(dict.fromkeys(viewer.told("job"))) == runs
    assert quiet(running)


def test_a_restart_loop(engine: PrivateEngine, broker: Mosquitto, watch: Watch, view: View) -> None:
    """A container that fails as soon as its restart policy starts it runs and exits in turn, and fills no log."""
    viewer = view(broker)
    running = watch(engine, broker)
    size = Size(running, viewer)
    engine.run("sh", "-c", "exit 3", name="loop", restart="always")
    viewer.wait_for(lambda _: viewer.statuses("loop").count("exited") >= 5)
    engine.remove("loop")
    viewer.status("loop", "removed")
    statuses = [m.json for m in viewer.messages if m.topic == f"{ROOT}/loop/status"]
    words = [one.get("reason", "running") for one in statuses]
    changes = [word for before, word in zip(["", *words], words, strict=False) if word != before]
    assert changes[:10] == ["running", "exited"] * 5
    assert {one["exit_code"] for one in statuses if one.get("reason") == "exited"} <= {3, 137}
    counts = [one["restart_count"] for one in statuses if "restart_count" in one]
    assert counts == sorted(counts)
    assert counts[-1] >= 4
    size.check()
    assert quiet(running)


def test_a_container_is_restarted_without_a_pause(
    fake_engine: FakeEngine, broker: Mosquitto, watch: Watch, view: View
) -> None:
    """Fifty restarts in an instant: `seq` goes on, the counters of two runs are never mixed, and it runs in the end."""
    viewer = view(broker)
    web = fake_engine.run("web", cpu=1.0)
    running = watch(fake_engine, broker)
    viewer.usages("web")
    size = Size(running, viewer)
    for number in range(50):
        fake_engine.die(web, number)
        web.restart_count += 1
        fake_engine.begin(web)
    again = time.monotonic()
    viewer.wait_for(lambda m: m.topic == f"{ROOT}/web/status" and m.json.get("restart_count") == 50)
    usages = viewer.usages("web", 3, after=again)
    assert viewer.statuses("web")[-1] == "running"
    assert viewer.missing("web") == 0
    assert all(usage["cpu"]["percent"] <= 101 for usage in usages)
    size.check()
    assert quiet(running)


def test_a_container_is_paused_again_and_again(
    fake_engine: FakeEngine, broker: Mosquitto, watch: Watch, view: View
) -> None:
    """It never stops by that, its usages go on, and what is said in the end is what holds."""
    viewer = view(broker)
    web = fake_engine.run("web")
    running = watch(fake_engine, broker)
    viewer.usages("web")
    for _ in range(50):
        fake_engine.pause(web)
        fake_engine.unpause(web)
    fake_engine.pause(web)
    viewer.wait_for(lambda m: m.topic == f"{ROOT}/web/status" and m.json["state"] == "paused")
    viewer.usages("web", 2, after=time.monotonic())
    assert last(broker, "web")["state"] == "paused"
    fake_engine.unpause(web)
    wait_until(lambda: last(broker, "web")["state"] == "running", PATIENCE, "it is let go and that is not told")
    assert set(viewer.statuses("web")) == {"running"}
    assert viewer.missing("web") == 0
    assert quiet(running)


def test_names_go_round(fake_engine: FakeEngine, broker: Mosquitto, watch: Watch, view: View) -> None:
    """Three containers pass their names on, several times and without a pause: each is where its name is, nobody else.

    While two swap names they may be told apart by their short ids for a moment; that is cleared again.
    """
    viewer = view(broker)
    chain = [fake_engine.run(name) for name in ("one", "two", "three")]
    running = watch(fake_engine, broker)
    for container in chain:
        viewer.usages(container.name)
    for _ in range(5):
        first, second, third = (container.name for container in chain)
        fake_engine.rename(chain[0], "aside")
        fake_engine.rename(chain[2], first)
        fake_engine.rename(chain[1], third)
        fake_engine.rename(chain[0], second)

    def settled() -> bool:
        said = {topic: payload for topic, payload in retained(broker.url, f"{ROOT}/+/status").items() if payload}
        return {topic.split("/")[2] for topic in said} == {"one", "two", "three"} and all(
            container.id.encode() in said[f"{ROOT}/{container.name}/status"] for container in chain
        )

    wait_until(settled, PATIENCE, "the statuses are not where the names are")
    after = time.monotonic()
    for container in chain:
        viewer.wait_for(
            lambda m, c=container: m.topic == f"{ROOT}/{c.name}/usage" and m.json["container"]["id"] == c.id,  # type: ignore[misc]
            after=after,
        )
        assert last(broker, container.name)["status"] == "running"
    assert quiet(running, but="an older container has that level")


def topics(name: str) -> set[str]:
    """Both topics of a container."""
    return {f"{ROOT}/{name}/status", f"{ROOT}/{name}/usage"}


def last(broker: Mosquitto, name: str) -> dict[str, object]:
    """What the broker retains of a container."""
    found: dict[str, object] = json.loads(retained(broker.url, f"{ROOT}/{name}/status")[f"{ROOT}/{name}/status"])
    return found


def quiet(running: RunningAgent, but: str = "nothing") -> bool:
    """Whether the agent had nothing to complain of, `but` for one thing."""
    complaints = [line for line in running.lines if re.search(" (warning|error) ", line)]
    return all(but in line for line in complaints)
