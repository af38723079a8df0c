"""The statuses and usages of one container, from its start to its removal."""

from itertools import groupby

from conftest import ExpectWarnings
from support.fakes.engine import Answer, FakeEngine

from containers.harness import ContainersHarness, MakeHarness


def test_start_usages_end_and_removal_are_published_in_order(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """A container is announced, its usages are counted from 1, and its end has its exit code, as has its removal."""
    harness = make_harness()
    web = fake_engine.run("web", image="nginx", labels={"com.docker.compose.project": "shop"})
    harness.wait(lambda: len(harness.usages()) >= 3)
    fake_engine.die(web, 3)
    harness.expect("running", "exited")
    fake_engine.destroy(web)
    running, exited, removed = harness.expect("running", "exited", "removed")
    summaries = [message.summary for message in harness.published_at("web", usages=True)]
    assert summaries[0] == "running"
    assert "usage" not in summaries[summaries.index("exited") :]
    assert harness.usages() == list(range(1, len(harness.usages()) + 1))
    assert running.payload["container"] == {"id": web.id, "name": "web", "image": "nginx", "project": "shop"}
    assert running.payload["state"] == "running"
    assert "exit_code" not in running.payload
    assert "finished_at" not in running.payload
    assert (exited.payload["exit_code"], exited.payload["state"]) == (3, "exited")
    assert exited.payload["finished_at"] > exited.payload["started_at"]
    assert exited.payload["last_usage"]["seq"] == harness.usages()[-1]
    assert removed.payload["exit_code"] == 3


def test_containers_that_run_at_the_start_are_announced(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """What runs when the agent starts is announced; what has ended before is not."""
    fake_engine.run("web")
    fake_engine.die(fake_engine.run("job"))
    harness = make_harness()
    harness.expect("running")
    harness.wait_for_events()
    assert harness.published_at("job") == []


def test_run_that_ended_before_the_agent_started_is_not_published(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """An engine may repeat events from within the second of the subscription."""
    job = fake_engine.run("job")
    started = fake_engine.event("start", job)
    fake_engine.die(job, 1)
    harness = make_harness()
    harness.wait_for_events()
    fake_engine.events.push(started)
    fake_engine.events.push(fake_engine.event("die", job, exitCode="1"))
    harness.wait_for_events()
    assert harness.published_at("job") == []


def test_run_that_ended_before_its_inspect_is_published(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """A container that has ended before it could be inspected was running, and its end has its exit code."""
    harness = make_harness()
    harness.wait_for_events()
    web = fake_engine.create("web")
    harness.wait_for_events()
    inspects = fake_engine.script("/containers/{id}/json", Answer(delay=0.3, hang_up=True), times=1)
    fake_engine.begin(web)
    fake_engine.die(web, 7)
    running, exited = harness.expect("running", "exited")
    assert inspects.used == 1
    assert "exit_code" not in running.payload
    assert exited.payload["exit_code"] == 7
    assert harness.usages() == []


def test_container_removed_before_its_inspect_is_published_from_its_events(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """Of a short `docker run --rm` the events are all there is; they are published in order."""
    harness = make_harness()
    harness.wait_for_events()
    fake_engine.script("/containers/{id}/json", Answer(404, b'{"message":"No such container"}'))
    fake_engine.destroy(fake_engine.run("web", image="alpine"))
    running, exited, _ = harness.expect("running", "exited", "removed")
    assert running.payload["container"]["image"] == "alpine"
    assert exited.payload["exit_code"] == 137


def test_status_is_published_again_only_when_it_changes(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """Pause and health are published when they change; an event that changes nothing is not published."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.expect("running")
    fake_engine.pause(web)
    harness.expect("running", "running")
    fake_engine.unpause(web)
    harness.expect(*["running"] * 3)
    web.health = "unhealthy"
    for _ in range(3):
        fake_engine.events.push(fake_engine.event("health_status: unhealthy", web))
    messages = harness.expect(*["running"] * 4)
    harness.wait_for_events()
    assert len(harness.published_at("web")) == 4
    assert [message.payload["state"] for message in messages] == ["running", "paused", "running", "running"]
    assert [message.payload.get("health") for message in messages] == [None, None, None, "unhealthy"]


def test_seq_continues_over_a_restart(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """A container that is started again goes on counting; no usage mixes the counters of two runs."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.wait(lambda: len(harness.usages()) >= 2)
    fake_engine.die(web, 1)
    harness.expect("running", "exited")
    before = harness.usages()[-1]
    fake_engine.begin(web)
    harness.wait(lambda: harness.usages()[-1] >= before + 2)
    harness.expect("running", "exited", "running")
    assert harness.usages() == list(range(1, len(harness.usages()) + 1))


def test_last_usage_is_of_the_run_that_the_status_is_about(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """A status never shows a usage of an earlier run, neither while the next one runs nor if that ended unseen."""
    expected_warnings("no readings of web")
    harness = make_harness()
    web = fake_engine.run("web")
    harness.wait(lambda: len(harness.usages()) >= 1)
    fake_engine.die(web, 1)
    harness.expect("running", "exited")
    fake_engine.script("/containers/{id}/stats", Answer(status=500))  # the next run has no usages
    fake_engine.begin(web)
    harness.expect("running", "exited", "running")
    fake_engine.die(web, 2)
    harness.expect("running", "exited", "running", "exited")
    fake_engine.begin(web, event=False)
    fake_engine.die(web, 3, event=False)
    harness.supervisor.request_inspect(web.id)
    _, first, again, second, unseen = harness.expect("running", "exited", "running", "exited", "exited")
    assert unseen.payload["exit_code"] == 3
    assert first.payload["last_usage"]["seq"] >= 1
    assert [message.payload.get("last_usage") for message in (again, second, unseen)] == [None, None, None]


def test_usage_names_the_host(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """A subscriber that keeps the payload without its topic still knows the host."""
    harness = make_harness()
    fake_engine.run("web")
    harness.wait(lambda: len(harness.usages()) >= 1)
    assert harness.published_at("web", usages=True)[-1].payload["host"] == "host"


def test_messages_begin_with_what_people_look_for(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """A usage begins with CPU and memory, a status with how the container is; the long id is the name's last part."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.wait(lambda: bool(harness.usages()))
    fake_engine.die(web, 3)
    exited = harness.expect("running", "exited")[-1]
    usage = harness.published_at("web", usages=True)[1].payload
    assert (list(usage)[:2], list(usage)[-2:]) == (["cpu", "memory"], ["host", "container"])
    assert (next(iter(usage["cpu"])), next(iter(usage["memory"]))) == ("percent", "used")
    assert (list(usage["container"])[-1], list(exited.payload)[:2]) == ("id", ["status", "reason"])


def test_end_is_published_although_the_container_runs_again(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """A restart policy may start a container again before its end was inspected: the end is published first."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.expect("running")
    fake_engine.script("/containers/{id}/json", Answer(delay=0.3, hang_up=True), times=1)
    fake_engine.die(web, 9)
    web.restart_count = 1
    fake_engine.begin(web)
    _, exited, again = harness.expect("running", "exited", "running")
    assert exited.payload["exit_code"] == 9
    assert again.payload["restart_count"] == 1


def test_end_without_an_event_is_published(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """An engine streams zeros for a stopped container: they cause an inspect, which shows the end."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.wait(lambda: len(harness.usages()) >= 1)
    fake_engine.die(web, 5, event=False)
    _, exited = harness.expect("running", "exited")
    assert exited.payload["exit_code"] == 5


def test_removal_without_an_event_is_published(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """A container that is not in the engine's list any more was removed."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.expect("running")
    fake_engine.destroy(web, event=False)
    harness.supervisor.resync(harness.engine.list_containers(), inspect_all=False)
    harness.expect("running", "exited", "removed")


def test_end_is_published_before_the_removal(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """An engine may send the events of `rm --force` in the wrong order."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.expect("running")
    fake_engine.destroy(web, event=False)
    fake_engine.events.push(fake_engine.event("destroy", web))
    fake_engine.events.push(fake_engine.event("die", web, exitCode="137"))
    _, exited, _ = harness.expect("running", "exited", "removed")
    assert "exit_code" not in exited.payload


def test_repeated_event_does_not_end_a_later_run(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """An engine may repeat events after an interruption, among them the `die` of an earlier run."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.expect("running")
    old = fake_engine.event("die", web, exitCode="1") | {"timeNano": web.started - 1}
    fake_engine.events.push(old)
    fake_engine.events.push(fake_engine.event("start", web))
    harness.wait_for_events()
    harness.expect("running")


def test_ends_are_published_after_the_engines_clock_was_set_back(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """A run that ended before it began, by the engine's clock, has ended; and another one may have begun.

    The end may be published twice, with the time of the event and with that of the inspect.
    """
    harness = make_harness()
    web, job = fake_engine.run("web"), fake_engine.run("job")
    harness.expect("running")
    harness.expect("running", of="job")
    fake_engine.clock = -3600 * 10**9
    fake_engine.die(job, 5)
    harness.wait(lambda: _changes(harness, "job") == ["running", "exited"])
    assert harness.published_at("job")[-1].payload["exit_code"] == 5
    fake_engine.die(web, 6)
    fake_engine.begin(web)
    harness.wait(lambda: _changes(harness, "web") == ["running", "exited", "running"])
    exited = [message for message in harness.published_at("web") if message.summary == "exited"]
    assert {message.payload["exit_code"] for message in exited} == {6}


def _changes(harness: ContainersHarness, level: str) -> list[str]:
    """Return the statuses at a level without those that repeat the one before."""
    return [summary for summary, _ in groupby(message.summary for message in harness.published_at(level))]
