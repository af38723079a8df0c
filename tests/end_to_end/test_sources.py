"""The source that an agent selects and publishes."""

import re
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.fakes.engine import FakeEngine

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]
OwnBroker = Callable[..., Mosquitto]

BUSY = ("sh", "-c", "while :; do :; done")


def sources(subscriber: RecordingSubscriber) -> list[str]:
    """Return the sources in the agent's statuses so far, in order."""
    statuses = [
        message.json for message in subscriber.messages if message.topic == f"{ROOT}/status" and message.payload
    ]
    return [status["source"] for status in statuses if "source" in status]


def test_first_container_confirms_the_kernel_source(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """The source is the stream until the kernel's files of a first container agree with the engine."""
    broker = own_broker()
    subscriber = record(broker)
    running = start_agent(engine, broker)
    subscriber.wait_for(lambda _: sources(subscriber) == ["stream"])
    engine.run(*BUSY, name="busy", cpus=0.2)
    subscriber.wait_for(lambda _: sources(subscriber) == ["stream", "kernel"])
    running.wait_for_line("source kernel: the kernel's files of busy")
    assert not [line for line in running.wait_for_line("engine .*, cgroup v") if "source" in line], "not known yet"
    usage = subscriber.usages("busy", count=3)[-1]
    assert usage["memory"]["measured"] == ["RSS", "Cache", "Swap", "Usage", "Max Usage"]
    assert usage["cpu"]["percent"] > 1
    assert running.stop() == 0
    assert subscriber.agent("exit")["source"] == "kernel"


def test_kernel_source_publishes_twice_a_second(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Only the kernel source can publish every 0.5 s; it makes hardly any requests to the engine."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(*BUSY, name="busy", cpus=0.2)
    start_agent(engine, broker, agent={"interval": 0.5})
    usages = subscriber.usages("busy", count=14)
    span = (usages[13]["timestamp"] - usages[1]["timestamp"]) / 1e9
    assert span == pytest.approx(6, abs=0.75)
    requests = subscriber.counters()["engine"]["requests"]
    subscriber.usages("busy", count=24)
    assert subscriber.counters()["engine"]["requests"] < requests + 5


def test_usages_while_the_engine_is_away(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """With --live-restore containers keep running without their engine: usages continue, no stop is published."""
    own = own_engine("--live-restore")
    broker = own_broker()
    subscriber = record(broker)
    own.run(*BUSY, name="busy", cpus=0.2)
    running = start_agent(own, broker)
    subscriber.usages("busy", count=2)
    own.kill()
    running.wait_for_line("cannot be reached")
    before = len(subscriber.usages("busy"))
    usages = subscriber.usages("busy", count=before + 4)
    own.start()
    running.wait_for_line("the engine is back")
    subscriber.usages("busy", count=len(usages) + 2)
    assert subscriber.statuses("busy") == ["running"]
    assert subscriber.missing("busy") == 0


def test_unusable_kernel_source_is_logged_once(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """An explicit `kernel` has no fallback: one warning names the file, the agent retries, and `check` reports it."""
    fake_engine.run("web")
    broker = own_broker()
    subscriber = record(broker)
    settings = {"engine": {"source": "kernel"}, "backoff": {"base": 0.5, "cap": 0.5}}
    running = start_agent(fake_engine, broker, **settings)
    line = running.wait_for_line("warning .*no readings of web")[0]
    assert re.search(r"/proc/4242/cgroup .*; the engine says that it runs", line)
    subscriber.counters()
    fake_engine.requests.clear()
    subscriber.wait_for(lambda _: fake_engine.requests["/containers/{id}/json"] >= 4)
    assert len(running.wait_for_line("no readings of web")) == 1
    checked = start_agent(fake_engine, broker, "check", **settings)
    assert checked.wait() == 3
    assert re.search(r"warn +web +no reading: .*/proc/4242/cgroup", "\n".join(checked.output))


def test_check_names_the_source_and_why_not_the_kernel(
    engine: PrivateEngine, fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent
) -> None:
    """`check` names the source that the agent would use, and the reason if that is not the kernel."""
    engine.run(name="web")
    broker = own_broker()
    checked = start_agent(engine, broker, "check")
    assert checked.wait() == 0
    assert re.search(r"ok +containers +1 running.*; source kernel$", "\n".join(checked.output), re.MULTILINE)
    fake_engine.run("web")
    checked = start_agent(fake_engine, broker, "check", agent={"interval": 0.5})
    assert checked.wait() == 0
    printed = "\n".join(checked.output)
    assert re.search(r"; source stream$", printed, re.MULTILINE)
    assert re.search(r"note +source +the kernel's files are not used.*: /proc/4242/cgroup", printed)
    assert re.search(r"note +configuration +agent.interval: usages come every 1 s", printed)
