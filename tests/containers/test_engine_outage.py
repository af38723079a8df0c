"""An engine that goes away and comes back, or that cannot inspect a container."""

import logging
import time
from itertools import pairwise

import pytest
from conftest import ExpectWarnings
from support.daemons.processes import wait_until
from support.fakes.engine import Answer, FakeEngine
from support.fakes.http import json_answer

from containers.harness import ContainersHarness, MakeHarness


def publish_through_outage(harness: ContainersHarness, fake_engine: FakeEngine) -> None:
    """Publish a container's usages before an outage of the engine, and two of them after it."""
    fake_engine.run("web")
    harness.wait(lambda: len(harness.usages()) >= 1)
    fake_engine.stop()
    harness.wait_for_trouble()
    before = len(harness.usages())
    fake_engine.start()
    harness.wait(lambda: len(harness.usages()) >= before + 2)


def test_restart_of_the_engine_stops_no_container(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """A container that lives through it is not published as stopped, and its usages continue."""
    expected_warnings("looking for it every")
    harness = make_harness()
    publish_through_outage(harness, fake_engine)
    harness.expect("running")
    assert harness.usages() == list(range(1, len(harness.usages()) + 1))


def test_first_usage_after_an_outage_covers_it(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """What a container used while the engine was away is not lost: the intervals follow without a gap."""
    expected_warnings("looking for it every")
    harness = make_harness()
    publish_through_outage(harness, fake_engine)
    messages = harness.published_at("web", usages=True)
    usages = [message.payload for message in messages if message.summary == "usage"]
    for earlier, later in pairwise(usages):
        assert later["timestamp"] / 1e9 - later["interval"] == pytest.approx(earlier["timestamp"] / 1e9, abs=0.001)


def test_changes_during_an_outage_are_published_after_it(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """Containers that ended, were removed or started while the engine was away are found when it is back."""
    expected_warnings("looking for it every")
    harness = make_harness()
    ends, goes = fake_engine.run("ends"), fake_engine.run("goes")
    harness.expect("running", of="ends")
    harness.expect("running", of="goes")
    fake_engine.stop()
    harness.wait_for_trouble()
    fake_engine.die(ends, 4, event=False)
    fake_engine.destroy(goes, event=False)
    fake_engine.run("comes")
    fake_engine.start()
    assert harness.expect("running", "exited", of="ends")[-1].payload["exit_code"] == 4
    harness.expect("running", "exited", "removed", of="goes")
    harness.expect("running", of="comes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("route", "answer"),
    [
        ("/containers/json", Answer(403, b"not allowed")),
        ("/containers/json", Answer(body=b"<html>")),
        ("/events", Answer(403)),
        ("/version", Answer(403)),
    ],
)
def test_engine_that_answers_in_vain_is_asked_ever_more_rarely(
    make_harness: MakeHarness,
    fake_engine: FakeEngine,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
    route: str,
    answer: Answer,
) -> None:
    """A list, events or versions that are refused: waits grow, one line is logged, and no engine is announced."""
    expected_warnings("next attempt in 1 s")
    caplog.set_level(logging.DEBUG, "agent.containers.watcher")
    refused = fake_engine.script(route, answer)
    began = time.monotonic()
    harness = make_harness()
    wait_until(lambda: refused.used >= 6, 60, f"{route} is not asked for again")
    assert time.monotonic() - began > 1 + 1 + 1 + 2 + 4
    assert [record.levelname for record in caplog.records if "next attempt" in record.message][:4] == [
        "WARNING",
        "DEBUG",
        "DEBUG",
        "DEBUG",
    ]
    assert harness.connects == 0
    assert "engine" in str(harness.watcher.trouble)
    fake_engine.behave()
    fake_engine.run("web")
    harness.expect("running")
    assert harness.connects == 1


def test_proxy_of_an_engine_that_is_away_is_asked_once_a_second(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """502 and the like are a proxy's words for an engine that is away: it is found soon after its return."""
    expected_warnings("502.*looking for it every 1 s")
    fake_engine.script("/version", Answer(502), times=1)
    fake_engine.run("web")
    make_harness().expect("running")


@pytest.mark.slow
@pytest.mark.parametrize("answer", [Answer(500), Answer(body=b"<html>"), Answer(body=b"{}"), Answer(hang_up=True)])
def test_failed_inspect_is_retried_soon(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings, answer: Answer
) -> None:
    """A container that could not be inspected is inspected again after a backoff, not with the next list."""
    expected_warnings("web cannot be inspected: ")
    fake_engine.run("web")
    inspects = fake_engine.script("/containers/{id}/json", answer, times=2)
    harness = make_harness()
    harness.wait(lambda: len(harness.usages()) >= 1)
    assert inspects.used == 2
    assert harness.engine.counters()["errors"] == 2


@pytest.mark.slow
def test_container_that_cannot_be_inspected_is_retried_rarely(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """However often there is a reason to inspect it, only one retry is scheduled; other containers are published."""
    expected_warnings("bad cannot be inspected: ")
    bad = fake_engine.run("bad", inspect_answer=Answer(body=b"{}"))
    harness = make_harness()
    harness.wait_for_retries(2)
    for _ in range(50):
        harness.supervisor.request_inspect(bad.id)
    harness.wait_for_retries(3)
    harness.wait_for_events()
    assert fake_engine.requests["/containers/{id}/json"] < 60
    bad.inspect_answer = None
    harness.expect("running", of="bad")


@pytest.mark.slow
def test_removal_is_published_although_inspects_fail(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """An engine that is too busy to answer when a container is removed is asked again."""
    web = fake_engine.run("web")
    harness = make_harness()
    harness.expect("running")
    fake_engine.script("/containers/{id}/json", Answer(500), times=4)
    fake_engine.destroy(web)
    harness.expect("running", "exited", "removed")


def test_answer_about_another_container_is_not_published(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """An inspect document with another id than the one that was asked for counts as a failed inspect."""
    web, other = fake_engine.run("web"), fake_engine.create("other")
    fake_engine.script("/containers/{id}/json", json_answer(web.inspect()), times=2)
    harness = make_harness()
    harness.wait(lambda: len(harness.usages()) >= 1)
    harness.wait_for_inspect(other.id)
    messages = harness.published_at("web", usages=True)
    assert {message.payload["container"]["id"] for message in messages} == {web.id}
