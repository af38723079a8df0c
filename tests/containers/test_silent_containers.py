"""A container that runs without usages is told: one warning, `trouble` in its status, and the count of such ones."""

import logging
from collections.abc import Callable

import pytest
from conftest import ExpectWarnings
from support.daemons.processes import wait_until
from support.fakes.container import FakeContainer
from support.fakes.engine import Answer, FakeEngine
from support.fakes.http import json_answer

from containers.harness import ContainersHarness, MakeHarness, PublishedMessage

STATS = "/containers/{id}/stats"
NEVER_READ = b'{"read": "0001-01-01T00:00:00Z", "cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}\n'


def statuses(harness: ContainersHarness, level: str = "web") -> list[str | None]:
    """Return the trouble in each status of a container that says that it runs."""
    messages = [message.payload for message in harness.published_at(level)]
    assert all(payload["status"] == "running" for payload in messages)
    return [payload.get("trouble") for payload in messages]


def wait_for_trouble(harness: ContainersHarness, pattern: str, level: str = "web") -> None:
    """Wait until the newest status of a container tells this trouble."""

    def told() -> bool:
        trouble = (statuses(harness, level) or [None])[-1]
        return trouble is not None and pattern in trouble

    harness.wait(told)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings so far."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(body=NEVER_READ), "no time of reading"),
        (Answer(500, b'{"message": "nsenter failed"}'), "nsenter failed"),
        (Answer(403, b"forbidden"), "forbidden"),
        (Answer(body=b""), "ended the readings"),
    ],
    ids=["year-1", "500", "403", "empty"],
)
def test_running_container_without_readings_is_told_until_they_are_back(
    make_harness: MakeHarness,
    fake_engine: FakeEngine,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    cause: str,
) -> None:
    """One warning with the cause, `trouble` in the status, and the count; all of it ends with the next usage."""
    caplog.set_level(logging.INFO)
    expected_warnings("no readings of web: .*; the engine says that it runs")
    fake_engine.run("web")
    fake_engine.script(STATS, answer)
    harness = make_harness()
    wait_for_trouble(harness, cause)
    harness.wait_for_retries(8)
    assert [name for name, _ in harness.supervisor.troubles] == ["web"]
    assert len(warnings(caplog)) == 1
    fake_engine.behave()
    harness.wait(lambda: len(harness.usages()) >= 1)
    harness.wait(lambda: statuses(harness)[-1] is None)
    assert harness.supervisor.troubles == []
    assert "readings of web are back" in [record.getMessage() for record in caplog.records]


def test_stats_call_that_hangs_is_told(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """The engine answers everything else, so it counts as well: nobody else would tell it."""
    expected_warnings("no readings of web: .*; the engine says that it runs")
    fake_engine.script(STATS, Answer(silent=True))
    fake_engine.run("web")
    harness = make_harness(timeout=0.5)
    wait_for_trouble(harness, "")
    assert harness.watcher.trouble is None


def test_outage_of_the_engine_is_no_silence_of_a_container(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """However often readings failed while the engine was away, the container has no trouble when it is back."""
    expected_warnings("looking for it every")
    fake_engine.run("web")
    harness = make_harness()
    harness.wait(lambda: len(harness.usages()) >= 1)
    fake_engine.stop()
    harness.wait_for_trouble()
    harness.wait_for_retries(10)
    before = len(harness.usages())
    fake_engine.start()
    harness.wait(lambda: len(harness.usages()) >= before + 2)
    assert statuses(harness) == [None]


def test_silent_container_that_ends_has_no_trouble(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """`trouble` says why a running container has no usages; one that has ended needs no reason."""
    expected_warnings("no readings of web: .*; the engine says that it runs")
    web = fake_engine.run("web", raw=b"[]\n")
    harness = make_harness()
    wait_for_trouble(harness, "not a stats document")
    fake_engine.die(web, 3)
    harness.wait(lambda: harness.published_at("web")[-1].summary == "exited")
    assert "trouble" not in harness.published_at("web")[-1].payload
    assert harness.supervisor.troubles == []


def lose_inspects(make_harness: MakeHarness, fake_engine: FakeEngine) -> tuple[ContainersHarness, FakeContainer]:
    """Start a harness for a container with usages, which from then on cannot be inspected any more."""
    web = fake_engine.run("web")
    harness = make_harness()
    harness.wait(usages_of(harness))
    web.inspect_answer = Answer(500)
    return harness, web


def usages_of(harness: ContainersHarness) -> Callable[[], bool]:
    """Return a condition: there are usages of the container."""
    return lambda: len(harness.usages()) >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [Answer(500, b'{"message": "no such device"}'), Answer(403, b"forbidden"), json_answer({"Id": "x"})],
    ids=["500", "403", "no-state"],
)
def test_container_that_cannot_be_inspected_is_published_by_the_engines_list(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings, answer: Answer
) -> None:
    """Its status is `running`, its usages come, and its end is told; other containers are not concerned."""
    expected_warnings("web cannot be inspected: ")
    web = fake_engine.run("web", inspect_answer=answer, labels={"com.docker.compose.project": "shop"})
    harness = make_harness()
    harness.wait(usages_of(harness))
    running = harness.expect("running")[0].payload
    assert running["container"] == {"id": web.id, "name": "web", "image": "busybox", "project": "shop"}
    fake_engine.die(web, 3)
    assert harness.expect("running", "exited")[-1].payload["exit_code"] == 3


@pytest.mark.slow
def test_container_that_can_be_inspected_again_goes_on(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """What the inspect adds is published; the run is not taken for another one."""
    expected_warnings("web cannot be inspected: ")
    web = fake_engine.run("web", inspect_answer=Answer(500))
    harness = make_harness()
    harness.wait(usages_of(harness))
    web.inspect_answer = None
    harness.supervisor.request_inspect(web.id)

    def has_start(message: PublishedMessage) -> bool:
        return "started_at" in message.payload

    harness.wait(lambda: has_start(harness.published_at("web")[-1]))
    _, again = harness.expect("running", "running")
    assert "last_usage" in again.payload
    assert harness.usages() == list(range(1, len(harness.usages()) + 1))


@pytest.mark.slow
def test_end_without_an_event_is_found_in_the_list_if_the_inspect_fails(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """Event lost, inspect broken: the list still says that it does not run."""
    expected_warnings("web cannot be inspected: ")
    harness, web = lose_inspects(make_harness, fake_engine)
    fake_engine.die(web, 3, event=False)
    harness.wait(lambda: harness.published_at("web")[-1].summary == "exited")
    wait_until(lambda: harness.supervisor.collectors == [], 20, "the collector goes on")


@pytest.mark.slow
def test_restart_of_a_container_that_cannot_be_inspected_is_one_end_and_one_start(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """The list does not tell runs apart: the new one has no known start until an inspect tells it, and goes on then."""
    expected_warnings("web cannot be inspected: ")
    harness, web = lose_inspects(make_harness, fake_engine)
    harness.supervisor.request_inspect(web.id)
    harness.wait_for_retries(2)
    fake_engine.begin(web)
    fake_engine.events.push(fake_engine.event("die", web, exitCode="7"))
    harness.wait(lambda: len(harness.published_at("web")) == 3)
    web.inspect_answer = None
    harness.supervisor.request_inspect(web.id)
    harness.wait(lambda: "started_at" in harness.published_at("web")[-1].payload)
    messages = harness.expect("running", "exited", "running", "running")
    assert messages[1].payload["exit_code"] == 7
    assert "started_at" not in messages[2].payload


@pytest.mark.slow
def test_row_without_a_state_stops_no_container(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """An inspect that fails and a list that answers rubbish say nothing of the container."""
    harness, web = lose_inspects(make_harness, fake_engine)
    fake_engine.script("/containers/json", json_answer([{"Id": web.id, "State": 7}]))
    harness.supervisor.request_inspect(web.id)
    harness.wait_for_retries(3)
    harness.expect("running")
