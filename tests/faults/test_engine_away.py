"""Containers that end while the engine cannot be reached: the kernel's files tell, and the others stay `running`."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto

from faults.assertions import HASTY

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnEngine = Callable[..., PrivateEngine]
OwnBroker = Callable[..., Mosquitto]


def wait_for_files(running: RunningAgent, subscriber: RecordingSubscriber, *names: str) -> None:
    """Wait until the kernel's files of these containers are read."""
    running.wait_for_line("source kernel")
    for name in names:
        subscriber.usages(name, count=2)


@pytest.mark.parametrize("options", [("--live-restore",), ()], ids=["live-restore", "plain"])
def test_container_that_ends_while_the_engine_is_down_is_gone(
    own_engine: OwnEngine,
    own_broker: OwnBroker,
    start_agent: StartAgent,
    record: Record,
    options: tuple[str, ...],
) -> None:
    """The others stay `running`. When the engine is back, the end is `exited`, and a new run goes on with `seq`."""
    engine, broker = own_engine(*options), own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    engine.run(name="paused")
    ends = engine.run(name="ends")
    running = start_agent(engine, broker)
    wait_for_files(running, subscriber, "web", "paused", "ends")
    engine.docker("pause", "paused")
    subscriber.wait_for(lambda m: m.topic.endswith("/paused/status") and m.json["state"] == "paused")
    engine.kill()
    running.wait_for_line("looking for it every")
    engine.kill_process(ends)
    gone = subscriber.status("ends", "gone")
    assert gone["status"] == "stopped"
    assert not gone.keys() & {"exit_code", "finished_at", "state"}
    subscriber.usages("web", count=3, after=time.monotonic())
    subscriber.usages("paused", count=3, after=time.monotonic())
    assert subscriber.statuses("web") == ["running"]
    assert set(subscriber.statuses("paused")) == {"running"}
    engine.start()
    exited = subscriber.status("ends", "exited")
    assert exited["state"] == "exited"
    assert isinstance(exited["exit_code"], int)
    assert subscriber.statuses("ends")[:3] == ["running", "gone", "exited"]
    again, last = time.monotonic(), subscriber.usages("ends")[-1]["seq"]
    engine.docker("start", ends)
    subscriber.status("ends", "running", after=again)
    assert subscriber.usages("ends", after=again)[0]["seq"] == last + 1
    if options:
        assert subscriber.statuses("web") == ["running"]
    assert "defect" not in running.log


def test_container_that_ends_while_the_engine_is_frozen_is_gone(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """An engine that accepts connections and says nothing is away, too; thawed, it says how the container ended."""
    engine, broker = own_engine(), own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    ends = engine.run(name="ends")
    running = start_agent(engine, broker, engine={"timeout": 1, "source": "kernel"})
    wait_for_files(running, subscriber, "web", "ends")
    engine.freeze()
    engine.kill_process(ends)
    subscriber.status("ends", "gone")
    subscriber.usages("web", count=2, after=time.monotonic())
    engine.thaw()
    assert subscriber.status("ends", "exited")["exit_code"] == 137
    assert subscriber.statuses("web") == ["running"]
    assert subscriber.statuses("ends") == ["running", "gone", "exited"]


def test_engine_that_only_the_agent_cannot_reach(
    own_engine: OwnEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, short_path: Path
) -> None:
    """Behind a socket that was replaced the engine goes on: it removes containers, and starts them again."""
    engine, broker = own_engine(), own_broker()
    subscriber = record(broker)
    for name in ("removed", "restarted", "again"):
        engine.run(name=name)
    link = short_path / "mounted.sock"
    link.symlink_to(engine.socket)
    # Not `auto`: it would publish usages too, and not read the files, if the engine was once too slow to verify them.
    options = {"url": f"unix://{link}", "timeout": 1, "source": "kernel"}
    running = start_agent(engine, broker, engine=options, backoff=HASTY)
    wait_for_files(running, subscriber, "removed", "restarted", "again")
    link.unlink()
    running.wait_for_line("looking for it every")
    engine.docker("restart", "restarted")
    engine.docker("rm", "--force", "removed")
    engine.docker("kill", "again")
    subscriber.status("removed", "gone")
    subscriber.status("again", "gone")
    before = time.monotonic()
    engine.docker("start", "again")
    subscriber.status("again", "running", after=before)
    link.symlink_to(engine.socket)
    back = time.monotonic()
    subscriber.status("removed", "removed")
    for name in ("restarted", "again"):
        subscriber.usages(name, count=2, after=back)
        assert subscriber.missing(name) == 0
        assert subscriber.statuses(name)[-1] == "running"
    assert subscriber.statuses("removed") == ["running", "gone", "removed"]
    assert set(subscriber.statuses("again")) == {"running", "gone"}
    assert "defect" not in running.log
