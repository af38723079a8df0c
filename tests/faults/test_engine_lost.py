"""The engine goes and comes back, as the same or as another one: nobody is called stopped who runs."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.fakes.engine import Answer, FakeEngine

from faults.assertions import SOON, Figures, assert_sound

Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("20.10.24", "1.41", "1.12"), ("29.0.0", "1.52", "1.44")),
        (("29.0.0", "1.52", "1.44"), ("19.03.1", "1.40", "1.12")),
    ],
    ids=["upgraded", "downgraded"],
)
def test_the_engine_comes_back_as_another_version(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    watch: Watch,
    view: View,
    before: tuple[str, str, str],
    after: tuple[str, str, str],
) -> None:
    """The new one is spoken to in its own version: usages go on, and what happens there is told."""
    broker = own_broker()
    viewer = view(broker)
    fake_engine.version, fake_engine.api, fake_engine.oldest_api = before
    web, ends = fake_engine.run("web"), fake_engine.run("ends")
    running = watch(fake_engine, broker)
    for name in ("web", "ends"):
        viewer.usages(name)
    fake_engine.stop()
    running.wait_for_line("looking for it every")
    fake_engine.die(ends, 4, event=False)
    fake_engine.events.forget()
    fake_engine.version, fake_engine.api, fake_engine.oldest_api = after
    fake_engine.start()
    back = time.monotonic()
    viewer.usages("web", count=2, after=back, timeout=SOON)
    assert viewer.status("ends", "exited", after=back)["exit_code"] == 4
    assert viewer.agent("running", after=back)["engine"] == {"version": after[0], "api": after[1], "cgroup": "1"}
    fake_engine.die(web, 5)
    assert viewer.status("web", "exited", after=back)["exit_code"] == 5
    assert viewer.statuses("web") == ["running", "exited"]
    assert_sound(running, viewer)


@pytest.mark.slow
def test_the_engine_is_killed_again_and_again(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View
) -> None:
    """No container is called stopped, no usage is missing, nothing is left behind in the agent."""
    broker = own_broker()
    viewer = view(broker)
    names = [f"web-{number}" for number in range(10)]
    for name in names:
        fake_engine.run(name)
    running = watch(fake_engine, broker)
    for name in names:
        viewer.usages(name)
    before, lines = Figures.of(running), len(running.lines)
    for _ in range(5):
        errors = viewer.counters(after=time.monotonic())["engine"]["errors"]
        fake_engine.stop()
        viewer.wait_for(lambda m, least=errors: m.topic.endswith("/agent") and m.json["engine"]["errors"] > least + 10)  # type: ignore[misc]
        fake_engine.start()
        back = time.monotonic()
        for name in names:
            viewer.usages(name, count=2, after=back, timeout=SOON)
    before.assert_not_grown(running, fds=20)
    assert len(running.lines) - lines < 5 * 6, running.log
    assert {word for name in names for word in viewer.statuses(name)} == {"running"}
    assert sum(viewer.missing(name) for name in names) == 0
    assert_sound(running, viewer)


def test_the_engine_dies_while_it_tells_what_happened(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View
) -> None:
    """What it did not get to say is found out: each end is told once, with its exit code, and nobody else's is."""
    broker = own_broker()
    viewer = view(broker)
    ends = [fake_engine.run(f"ends-{number}") for number in range(4)]
    fake_engine.run("web")
    running = watch(fake_engine, broker)
    for container in ends:
        viewer.usages(container.name)
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
        assert viewer.status(container.name, "exited")["exit_code"] == number
    viewer.usages("web", count=2, after=time.monotonic())
    assert torn.used == 1
    assert [viewer.statuses(container.name) for container in ends] == [["running", "exited"]] * 4
    assert viewer.statuses("web") == ["running"]
    assert_sound(running, viewer)


def test_the_engine_is_not_ready_when_it_is_back(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View
) -> None:
    """An engine that listens already but answers 503 and knows no container yet stops nobody."""
    broker = own_broker()
    viewer = view(broker)
    fake_engine.run("web")
    running = watch(fake_engine, broker)
    viewer.usages("web")
    fake_engine.stop()
    fake_engine.script("/containers/.*", Answer(404, b'{"message":"No such container: web"}'), times=12)
    fake_engine.script("/version", Answer(503), times=2)
    fake_engine.start()
    back = time.monotonic()
    viewer.usages("web", count=2, after=back)
    assert viewer.statuses("web") == ["running"]
    assert_sound(running, viewer)


@pytest.mark.parametrize("options", [("--live-restore",), ()], ids=["live-restore", "plain"])
def test_a_real_engine_is_killed_twice(
    own_engine: OwnEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View, options: tuple[str, ...]
) -> None:
    """With live-restore nobody stopped; without it everybody did, and that is told, and new runs are followed."""
    engine, broker = own_engine(*options), own_broker()
    viewer = view(broker)
    engine.run(name="web", restart="always")
    running = watch(engine, broker)
    viewer.usages("web")
    for _ in range(2):
        engine.kill()
        running.wait_for_line("looking for it every")
        engine.start()
        viewer.usages("web", count=2, after=time.monotonic())
    words = viewer.statuses("web")
    if options:
        assert words == ["running"]
    assert words[-1] == "running"
    assert set(words) <= {"running", "exited"}
    assert "defect" not in running.log
