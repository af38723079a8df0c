"""The engine's responses cannot be used: each costs one usage of a container, and a counted error."""

import time
from collections.abc import Callable
from functools import partial

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import Answer, FakeContainer, FakeEngine, Script
from support.fakes.http import json_answer

from faults.assertions import HASTY, SOON, Figures, assert_sound
from faults.rubbish import EVENTS, INSPECT, LIST, STATS, rubbish

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]


def asked_for(fake: FakeEngine, web: FakeContainer, script: Script) -> bool:
    """Return whether the agent has asked for it; until then, provoke the request."""
    if script.used == 0 and script.pattern == INSPECT:
        fake.events.push(fake.event("oom", web))
    elif script.used == 0 and script.pattern != STATS:
        fake.events.end()  # again and again: a subscription that was just being renewed would not hear of it
    return script.used > 0


KINDS = sorted(rubbish())
A_FEW = ["500", "an impossible chunk", "another object"]


@pytest.mark.parametrize(
    ("route", "kinds"),
    [
        *((route, kinds) for route in (INSPECT, STATS) for kinds in (KINDS[:7], KINDS[7:14], KINDS[14:])),
        *((route, A_FEW) for route in (EVENTS, LIST, "/version", "/info")),
    ],
)
@pytest.mark.slow
def test_bad_responses_cost_errors_and_change_no_status(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: StartAgent,
    record: Record,
    route: str,
    kinds: list[str],
) -> None:
    """Each bad response of any kind is a counted error: no status changes, and usages continue and are right."""
    broker = own_broker()
    subscriber = record(broker)
    web, _ = fake_engine.run("web"), fake_engine.run("other")
    running = start_agent(fake_engine, broker, engine={"timeout": 2, "source": "poll"}, backoff=HASTY)
    for name in ("web", "other"):
        subscriber.usages(name, count=2)
    before = Figures.of(running)
    for kind in kinds:
        errors = subscriber.counters(after=time.monotonic())["engine"]["errors"]
        script = fake_engine.script(route, rubbish()[kind], times=1)
        wait_until(partial(asked_for, fake_engine, web, script), PATIENCE, f"{kind} is not asked for")
        subscriber.wait_for(lambda m, least=errors: m.topic.endswith("/agent") and m.json["engine"]["errors"] > least)  # type: ignore[misc]
        back = time.monotonic()
        for name in ("web", "other"):
            subscriber.usages(name, after=back)
    before.assert_not_grown(running, rss=40)  # of each container a response of up to 16 MB may be in memory
    assert subscriber.statuses("web") == subscriber.statuses("other") == ["running"]
    assert_sound(running, subscriber)
    assert max(len(line) for line in running.lines) < 1000


def test_wrong_rows_of_the_list_do_no_harm(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """Rows without an id, a name or a state, or twice the same: the other containers are tracked all the same."""
    broker = own_broker()
    subscriber = record(broker)
    web, other = fake_engine.run("web"), fake_engine.run("other")
    row = web.row()
    nameless = {"Id": other.id, "Names": None, "State": None}
    fake_engine.script(LIST, json_answer([None, row, {"Id": 5}, row, nameless, {}, "web", {"Id": "0" * 64}]))
    running = start_agent(fake_engine, broker)
    for name in ("web", "other"):
        subscriber.usages(name, count=2)
    counters = subscriber.counters(after=time.monotonic())
    assert counters["containers"] == 2
    assert counters["engine"]["errors"] > 0
    assert_sound(running, subscriber)


def test_container_missing_from_the_list_is_not_stopped(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """A list that lacks containers stops none: when asked about each, the engine knows it."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    subscriber.usages("web")
    looks = fake_engine.requests[INSPECT]
    fake_engine.script(LIST, json_answer([]))

    def listed_anew() -> bool:
        fake_engine.events.end()
        return fake_engine.requests[INSPECT] > looks

    wait_until(listed_anew, PATIENCE, "nobody asks")
    subscriber.usages("web", count=3, after=time.monotonic())
    assert subscriber.statuses("web") == ["running"]
    assert_sound(running, subscriber)


@pytest.mark.parametrize(
    ("route", "answer", "code"),
    [
        (LIST, json_answer([None, {}]), 3),
        (INSPECT, Answer(500), 0),
        (STATS, Answer(body=b"<html>"), 3),
        ("/version", json_answer({"Version": "1", "ApiVersion": "1." + "9" * 5000}), 3),
    ],
)
def test_check_reports_bad_responses_with_their_exit_code(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: StartAgent,
    route: str,
    answer: Answer,
    code: int,
) -> None:
    """The exit code is 3 if nothing could be published, and 0 if only something is not known."""
    fake_engine.run("web")
    fake_engine.script(route, answer)
    checking = start_agent(fake_engine, own_broker(), "check")
    assert checking.wait() == code
    assert "Traceback" not in checking.log
    assert any(line.startswith(("FAIL", "warn")) for line in checking.output), checking.output


def test_inspection_that_fails_at_the_start_is_retried(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """It costs no more than a moment, and the other container does not wait for it."""
    broker = own_broker()
    subscriber = record(broker)
    web = fake_engine.run("web", inspect_answer=Answer(500))
    fake_engine.run("other")
    running = start_agent(fake_engine, broker)
    subscriber.usages("other")
    web.inspect_answer = None
    subscriber.usages("web", timeout=SOON)
    assert set(subscriber.statuses("web")) == {"running"}  # by the engine's list, if the inspect has failed twice
    assert_sound(running, subscriber)
