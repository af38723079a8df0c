"""The engine goes away and comes back, as the same or another version: no running container is published as stopped."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.fakes.engine import Answer, FakeEngine

from faults.assertions import SOON, Figures, assert_sound

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("20.10.24", "1.41", "1.12"), ("29.0.0", "1.52", "1.44")),
        (("29.0.0", "1.52", "1.44"), ("19.03.1", "1.40", "1.12")),
    ],
    ids=["upgraded", "downgraded"],
)
def test_engine_of_another_version_is_used_after_its_return(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: StartAgent,
    record: Record,
    before: tuple[str, str, str],
    after: tuple[str, str, str],
) -> None:
    """The agent speaks the new version's API: usages continue, and events are processed."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.version, fake_engine.api, fake_engine.oldest_api = before
    web, ends = fake_engine.run("web"), fake_engine.run("ends")
    running = start_agent(fake_engine, broker)
    for name in ("web", "ends"):
        subscriber.usages(name)
    fake_engine.stop()
    running.wait_for_line("looking for it every")
    fake_engine.die(ends, 4, event=False)
    fake_engine.events.forget()
    fake_engine.version, fake_engine.api, fake_engine.oldest_api = after
    fake_engine.start()
    back = time.monotonic()
    subscriber.usages("web", count=2, after=back, timeout=SOON)
    assert subscriber.status("ends", "exited", after=back)["exit_code"] == 4
    assert subscriber.agent("running", after=back)["engine"] == {"version": after[0], "api": after[1], "cgroup": "1"}
    fake_engine.die(web, 5)
    assert subscriber.status("web", "exited", after=back)["exit_code"] == 5
    assert subscriber.statuses("web") == ["running", "exited"]
    assert_sound(running, subscriber)


@pytest.mark.slow
def test_repeated_crashes_of_the_engine_lose_nothing(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """No container is published as stopped, no usage is missing, nothing is left behind in the agent."""
    broker = own_broker()
    subscriber = record(broker)
    names = [f"web-{number}" for number in range(10)]
    for name in names:
        fake_engine.run(name)
    running = start_agent(fake_engine, broker)
    for name in names:
        subscriber.usages(name)
    before, lines = Figures.of(running), len(running.lines)
    for _ in range(5):
        errors = subscriber.counters(after=time.monotonic())["engine"]["errors"]
        fake_engine.stop()
        subscriber.wait_for(
            lambda m, least=errors: m.topic.endswith("/agent") and m.json["engine"]["errors"] > least + 10  # type: ignore[misc]
        )
        fake_engine.start()
        back = time.monotonic()
        for name in names:
            subscriber.usages(name, count=2, after=back, timeout=SOON)
    before.assert_not_grown(running, fds=20)
    assert len(running.lines) - lines < 5 * 6, running.log
    assert {word for name in names for word in subscriber.statuses(name)} == {"running"}
    assert sum(subscriber.missing(name) for name in names) == 0
    assert_sound(running, subscriber)


def test_events_lost_in_a_crash_are_found_out(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """Each end that the engine could not report is published once, with its exit code, and no other end is."""
    broker = own_broker()
    subscriber = record(broker)
    ends = [fake_engine.run(f"ends-{number}") for number in range(4)]
    fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    for container in ends:
        subscriber.usages(container.name)
    fake_engine.stop()
    running.wait_for_line("looking for it every")
    history = []
    for number, container in enumerate(ends, 1):
        fake_engine.die(container, number)
        event = fake_engine.event("die", container, exitCode=str(number))
        history.append(json.dumps(event).encode() + b"\n")

    def half() -> Iterator[bytes]:
        yield history[0]
        yield history[1][:50]

    torn = fake_engine.script("/events", Answer(chunks=half(), truncated=True), times=1)
    fake_engine.start()
    for number, container in enumerate(ends, 1):
        assert subscriber.status(container.name, "exited")["exit_code"] == number
    subscriber.usages("web", count=2, after=time.monotonic())
    assert torn.used == 1
    assert [subscriber.statuses(container.name) for container in ends] == [["running", "exited"]] * 4
    assert subscriber.statuses("web") == ["running"]
    assert_sound(running, subscriber)


def test_engine_that_is_not_ready_stops_no_container(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """An engine that answers 503 and lists no container yet does not stop any."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    subscriber.usages("web")
    fake_engine.stop()
    fake_engine.script("/containers/.*", Answer(404, b'{"message":"No such container: web"}'), times=12)
    fake_engine.script("/version", Answer(503), times=2)
    fake_engine.start()
    back = time.monotonic()
    subscriber.usages("web", count=2, after=back)
    assert subscriber.statuses("web") == ["running"]
    assert_sound(running, subscriber)


@pytest.mark.parametrize("options", [("--live-restore",), ()], ids=["live-restore", "plain"])
def test_real_engine_killed_twice(
    own_engine: OwnEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: StartAgent,
    record: Record,
    options: tuple[str, ...],
) -> None:
    """With live-restore no container is published as stopped; without it all are, and new runs are tracked."""
    engine, broker = own_engine(*options), own_broker()
    subscriber = record(broker)
    engine.run(name="web", restart="always")
    running = start_agent(engine, broker)
    subscriber.usages("web")
    for _ in range(2):
        engine.kill()
        running.wait_for_line("looking for it every")
        engine.start()
        subscriber.usages("web", count=2, after=time.monotonic())
    words = subscriber.statuses("web")
    if options:
        assert words == ["running"]
    assert words[-1] == "running"
    assert set(words) <= {"running", "exited", "gone"}  # gone: it ends while the engine starts, and may not answer yet
    assert "defect" not in running.log


@pytest.mark.root
@pytest.mark.slow
def test_agent_ends_when_its_mounted_socket_was_replaced(
    fake_engine: FakeEngine, short_path: Path, agent: Callable[..., RunningAgent]
) -> None:
    """After 30 timeouts without a listener, 5 minutes at most, it returns 1: a restart mounts the new socket."""
    mount = short_path / "mount.sock"
    mount.touch()
    subprocess.run(["mount", "--bind", str(fake_engine.socket), str(mount)], check=True)
    try:
        config = {"engine": {"url": f"unix://{mount}", "timeout": 0.3}, "agent": {"host": "h", "interval": 600}}
        running = agent(config, "run", "--dry-run")
        running.wait_for_line("engine 20.10.24, API")
        fake_engine.restart()
        running.wait_for_line("Restart the agent's container, and better mount the socket's directory; looking for it")
        assert running.wait() == 1
        assert "The agent ends, so that it is started anew" in running.log
        assert "defect" not in running.log
    finally:
        subprocess.run(["umount", str(mount)], check=True)
