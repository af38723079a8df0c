"""The engine sends no events, or impossible ones: its answers to inspections decide."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.fakes.engine import Answer, FakeContainer, FakeEngine

from faults.assertions import assert_sound
from faults.rubbish import EVENTS, INSPECT, endless

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: Answer(body=b"<html>"),
        lambda: Answer(chunks=endless(b"rubbish\n")),
        lambda: Answer(500, b"no. " + str(time.time_ns()).encode()),
    ],
    ids=["a page", "rubbish", "other words each time"],
)
@pytest.mark.slow
def test_engine_without_events_is_asked_rarely_and_logged_once(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: StartAgent,
    record: Record,
    answer: Callable[[], Answer],
) -> None:
    """An agent without events keeps what it knows, asks more and more rarely, and logs that once."""
    broker = own_broker()
    subscriber = record(broker)
    web = fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    subscriber.usages("web", count=2)
    lines = len(running.lines)
    looks = fake_engine.requests[INSPECT]
    fake_engine.script(EVENTS, answer())
    fake_engine.events.end()
    subscriber.usages("web", count=15, after=time.monotonic())
    assert len(running.lines) - lines <= 24, running.log
    assert fake_engine.requests[INSPECT] - looks <= 12
    fake_engine.behave()
    fake_engine.die(web, 4, event=False)
    assert subscriber.status("web", "exited")["exit_code"] == 4
    assert_sound(running, subscriber)


def odd_event(container: FakeContainer, **changes: Any) -> bytes:
    """Return the event of a container's end, except for one fault."""
    actor = {"ID": container.id, "Attributes": {"name": container.name, "exitCode": "0"}}
    event = {"Type": "container", "Action": "die", "Actor": actor, "timeNano": time.time_ns()}
    return json.dumps(event | changes).encode() + b"\n"


def test_wrong_events_are_counted_and_change_nothing(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """An impossible event counts as an error and changes nothing: the engine's answer to an inspection decides."""
    broker = own_broker()
    subscriber = record(broker)
    web = fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    subscriber.usages("web")
    wrong: list[dict[str, Any]] = [
        {"timeNano": 10**29},
        {"timeNano": -(10**20)},
        {"timeNano": "now"},
        {"Actor": None},
        {"Actor": {"ID": web.id[:12]}},
        {"Actor": {"ID": web.id, "Attributes": {"exitCode": 7}}},
        {"Action": ["die"]},
    ]
    for changes in wrong:
        fake_engine.events.push(odd_event(web, **changes))
    subscriber.wait_for(lambda m: m.topic.endswith("/agent") and m.json["engine"]["errors"] >= len(wrong))
    subscriber.usages("web", count=2, after=time.monotonic())
    assert subscriber.statuses("web") == ["running"]
    fake_engine.events.push(
        odd_event(web, Actor={"ID": "0" * 64, "Attributes": {"exitCode": "9" * 5000}}, Action="start")
    )
    fake_engine.die(web, 3)
    assert subscriber.status("web", "exited")["exit_code"] == 3
    assert_sound(running, subscriber)
