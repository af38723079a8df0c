"""Which source an agent takes, and what its subscribers are told of it."""

import re
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.fakes.engine import FakeEngine

Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]
OwnBroker = Callable[..., Mosquitto]

BUSY = ("sh", "-c", "while :; do :; done")


def sources(viewer: RecordingSubscriber) -> list[str]:
    """Return what the agent's statuses named as its source, one after the other."""
    statuses = [message.json for message in viewer.messages if message.topic == f"{ROOT}/status" and message.payload]
    return [status["source"] for status in statuses if "source" in status]


def test_the_kernel_is_proved_by_the_first_container(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """Without a container nothing can be proved; with the first one the source becomes the kernel, and it is told."""
    broker = own_broker()
    viewer = view(broker)
    running = watch(engine, broker)
    viewer.wait_for(lambda _: sources(viewer) == ["stream"])
    engine.run(*BUSY, name="busy", cpus=0.2)
    viewer.wait_for(lambda _: sources(viewer) == ["stream", "kernel"])
    running.wait_for_line("source kernel: the kernel's files say")
    usage = viewer.usages("busy", count=3)[-1]
    assert usage["memory"]["measured"] == ["RSS", "Cache", "Swap", "Usage", "Max Usage"]
    assert usage["cpu"]["percent"] > 1
    assert running.stop() == 0
    assert viewer.agent("exit")["source"] == "kernel"


def test_kernel_source_publishes_twice_a_second(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """No other source can do it: a usage each half second, and hardly a question to the engine."""
    broker = own_broker()
    viewer = view(broker)
    engine.run(*BUSY, name="busy", cpus=0.2)
    watch(engine, broker, agent={"interval": 0.5})
    usages = viewer.usages("busy", count=14)
    span = (usages[13]["timestamp"] - usages[1]["timestamp"]) / 1e9
    assert span == pytest.approx(6, abs=0.75)
    asked = viewer.counters()["engine"]["requests"]
    viewer.usages("busy", count=24)
    assert viewer.counters()["engine"]["requests"] < asked + 5


def test_usages_while_the_engine_is_away(
    own_engine: OwnEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """Containers that outlive their engine are read on, and nobody is told that they stopped."""
    own = own_engine("--live-restore")
    broker = own_broker()
    viewer = view(broker)
    own.run(*BUSY, name="busy", cpus=0.2)
    running = watch(own, broker)
    viewer.usages("busy", count=2)
    own.kill()
    running.wait_for_line("cannot be reached")
    before = len(viewer.usages("busy"))
    usages = viewer.usages("busy", count=before + 4)
    own.start()
    running.wait_for_line("the engine is back")
    viewer.usages("busy", count=len(usages) + 2)
    assert viewer.statuses("busy") == ["running"]
    assert viewer.missing("busy") == 0


def test_kernel_source_that_cannot_work_is_told_once(
    fake_engine: FakeEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """By its name it is that or nothing: one line says which file, and the attempts go on; `check` says it too."""
    fake_engine.run("web")
    broker = own_broker()
    viewer = view(broker)
    settings = {"engine": {"source": "kernel"}, "backoff": {"base": 0.5, "cap": 0.5}}
    running = watch(fake_engine, broker, **settings)
    line = running.wait_for_line("warning .*no readings of web")[0]
    assert re.search(r"/proc/4242/cgroup .*; next try in", line)
    viewer.counters()
    fake_engine.requests.clear()
    viewer.wait_for(lambda _: fake_engine.requests["/containers/{id}/json"] >= 4)
    assert len(running.wait_for_line("no readings of web")) == 1
    checked = watch(fake_engine, broker, "check", **settings)
    assert checked.wait() == 0
    assert re.search(r"warn +web +no reading: .*/proc/4242/cgroup", "\n".join(checked.output))


def test_check_names_the_source_and_why_not_the_kernel(
    engine: PrivateEngine, fake_engine: FakeEngine, own_broker: OwnBroker, watch: Watch
) -> None:
    """It names the source that would be taken, and why that is not the kernel."""
    engine.run(name="web")
    broker = own_broker()
    checked = watch(engine, broker, "check")
    assert checked.wait() == 0
    assert re.search(r"ok +containers +1 running.*; source kernel$", "\n".join(checked.output), re.MULTILINE)
    fake_engine.run("web")
    checked = watch(fake_engine, broker, "check", agent={"interval": 0.5})
    assert checked.wait() == 0
    printed = "\n".join(checked.output)
    assert re.search(r"; source stream$", printed, re.MULTILINE)
    assert re.search(r"note +source +not kernel.*: /proc/4242/cgroup", printed)
    assert re.search(r"note +configuration +agent.interval: usages come every 1 s", printed)
