"""Containers start and end by the dozen, or restart again and again: every status is published, nothing is left."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import FakeEngine

from faults.churn import A_LIFE, Size, last, quiet

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]


def test_forty_real_containers_leave_nothing_behind(
    engine: PrivateEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """Eight at a time, as fast as a real engine can."""
    subscriber = record(broker)
    running = start_agent(engine, broker, topics={"forget_removed": 1})
    size = Size(running, subscriber)
    names = [f"one-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: engine.run(name=name), names))
        for name in names:
            subscriber.status(name, "running")
        list(pool.map(engine.remove, names))
    for name in names:
        subscriber.status(name, "cleared")
        assert subscriber.statuses(name) == A_LIFE
    assert subscriber.counters(after=time.monotonic() + 1)["containers"] == 0
    size.check()
    assert quiet(running)


def test_container_that_lives_for_milliseconds_is_published(
    engine: PrivateEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """One that ends within 100 ms is published as running and exited, with its exit code, and has no usage."""
    subscriber = record(broker)
    running = start_agent(engine, broker)
    subscriber.agent("running")
    brief = [f"brief-{number}" for number in range(20)]
    for number, name in enumerate(brief):
        engine.run("sh", "-c", f"sleep {number / 200}; exit {number + 1}", name=name)
    for number, name in enumerate(brief):
        assert subscriber.status(name, "exited")["exit_code"] == number + 1
        assert subscriber.statuses(name) == ["running", "exited"]
    engine.run("true", name="gone", rm=True)
    subscriber.status("gone", "removed")
    assert subscriber.statuses("gone") == ["running", "exited", "removed"]
    assert subscriber.counters(after=time.monotonic() + 1)["outbox"]["added"] == 0
    assert quiet(running)


def test_restart_loop_is_published_and_fills_no_log(
    engine: PrivateEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """A container that fails whenever its restart policy starts it is published as running and exited in turn."""
    subscriber = record(broker)
    running = start_agent(engine, broker)
    size = Size(running, subscriber)
    engine.run("sh", "-c", "exit 3", name="loop", restart="always")
    subscriber.wait_for(lambda _: subscriber.statuses("loop").count("exited") >= 5)
    engine.remove("loop")
    subscriber.status("loop", "removed")
    statuses = [m.json for m in subscriber.messages if m.topic == f"{ROOT}/loop/status"]
    words = [one.get("reason", "running") for one in statuses]
    changes = [word for before, word in zip(["", *words], words, strict=False) if word != before]
    assert changes[:10] == ["running", "exited"] * 5
    assert {one["exit_code"] for one in statuses if one.get("reason") == "exited"} <= {3, 137}
    counts = [one["restart_count"] for one in statuses if "restart_count" in one]
    assert counts == sorted(counts)
    assert counts[-1] >= 4
    size.check()
    assert quiet(running)


def test_fifty_restarts_at_once_keep_seq_and_counters_apart(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """`seq` continues, counters of two runs are never mixed, and the container is running in the end."""
    subscriber = record(broker)
    web = fake_engine.run("web", cpu=1.0)
    running = start_agent(fake_engine, broker)
    subscriber.usages("web")
    size = Size(running, subscriber)
    for number in range(50):
        fake_engine.die(web, number)
        web.restart_count += 1
        fake_engine.begin(web)
    again = time.monotonic()
    subscriber.wait_for(lambda m: m.topic == f"{ROOT}/web/status" and m.json.get("restart_count") == 50)
    usages = subscriber.usages("web", 3, after=again)
    assert subscriber.statuses("web")[-1] == "running"
    assert subscriber.missing("web") == 0
    assert all(usage["cpu"]["percent"] <= 101 for usage in usages)
    size.check()
    assert quiet(running)


def test_repeated_pauses_do_not_stop_a_container(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """The container is never published as stopped, its usages continue, and the last status is right."""
    subscriber = record(broker)
    web = fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    subscriber.usages("web")
    for _ in range(50):
        fake_engine.pause(web)
        fake_engine.unpause(web)
    fake_engine.pause(web)
    subscriber.wait_for(lambda m: m.topic == f"{ROOT}/web/status" and m.json["state"] == "paused")
    subscriber.usages("web", 2, after=time.monotonic())
    assert last(broker, "web")["state"] == "paused"
    fake_engine.unpause(web)
    wait_until(lambda: last(broker, "web")["state"] == "running", PATIENCE, "it is let go and that is not told")
    assert set(subscriber.statuses("web")) == {"running"}
    assert subscriber.missing("web") == 0
    assert quiet(running)
