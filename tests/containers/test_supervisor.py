"""What subscribers are told of a container, through all that can happen to it."""

from collections.abc import Callable
from itertools import groupby, pairwise

import pytest
from conftest import ExpectWarnings
from support.daemons.processes import wait_until
from support.fakes.engine import Answer, FakeContainer, FakeEngine
from support.fakes.http import json_answer

from containers.harness import ContainersHarness, settled


def test_a_life(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """A container is announced, its usages are counted from 1, its end is told with its exit code, then its removal."""
    one = harness()
    web = fake_engine.run("web", image="nginx", labels={"com.docker.compose.project": "shop"})
    one.wait(lambda: len(one.usages()) >= 3)
    fake_engine.die(web, 3)
    one.expect("running", "exited")
    fake_engine.destroy(web)
    running, exited, removed = one.expect("running", "exited", "removed")
    words = [said.summary for said in one.published_at("web", usages=True)]
    assert words[0] == "running"
    assert "usage" not in words[words.index("exited") :]
    assert one.usages() == list(range(1, len(one.usages()) + 1))
    assert running.payload["container"] == {"id": web.id, "name": "web", "image": "nginx", "project": "shop"}
    assert running.payload["state"] == "running"
    assert "exit_code" not in running.payload
    assert "finished_at" not in running.payload
    assert (exited.payload["exit_code"], exited.payload["state"]) == (3, "exited")
    assert exited.payload["finished_at"] > exited.payload["started_at"]
    assert exited.payload["last_usage"]["seq"] == one.usages()[-1]
    assert removed.payload["exit_code"] == 3


def test_containers_that_run_already(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """What runs when the agent starts is announced; what has ended before is not."""
    fake_engine.run("web")
    fake_engine.die(fake_engine.run("job"))
    one = harness()
    one.expect("running")
    settled(one)
    assert one.published_at("job") == []


def test_an_end_before_the_agent_came_is_no_news(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """An engine may tell once more what has happened within the second of the subscription."""
    job = fake_engine.run("job")
    begun = fake_engine.event("start", job)
    fake_engine.die(job, 1)
    one = harness()
    settled(one)
    fake_engine.events.push(begun)
    fake_engine.events.push(fake_engine.event("die", job, exitCode="1"))
    settled(one)
    assert one.published_at("job") == []


def test_a_container_that_outlives_nothing(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """One that has died before it could be looked at was running all the same, and its end has its exit code."""
    one = harness()
    settled(one)
    web = fake_engine.create("web")
    settled(one)
    looks = fake_engine.script("/containers/{id}/json", Answer(delay=0.3, hang_up=True), times=1)
    fake_engine.begin(web)
    fake_engine.die(web, 7)
    running, exited = one.expect("running", "exited")
    assert looks.used == 1
    assert "exit_code" not in running.payload
    assert exited.payload["exit_code"] == 7
    assert one.usages() == []


def test_a_container_that_was_gone_before_anybody_looked(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """`docker run --rm` of a moment's work: what the events said is told, in order."""
    one = harness()
    settled(one)
    fake_engine.script("/containers/{id}/json", Answer(404, b'{"message":"No such container"}'))
    fake_engine.destroy(fake_engine.run("web", image="alpine"))
    running, exited, _ = one.expect("running", "exited", "removed")
    assert running.payload["container"]["image"] == "alpine"
    assert exited.payload["exit_code"] == 137


def test_one_after_the_other_under_one_name(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """Containers that were gone before anybody looked are told of in the order in which they had the name."""
    one = harness()
    settled(one)
    jobs = [fake_engine.run("job")]
    for _ in range(20):
        fake_engine.destroy(jobs[-1])
        jobs.append(fake_engine.run("job"))
    one.wait(lambda: bool(one.usages("job")))
    ids = [said.payload["container"]["id"] for said in one.published_at("job")]
    assert list(dict.fromkeys(ids)) == [job.id for job in jobs]
    assert ids == sorted(ids, key=[job.id for job in jobs].index)
    assert one.published_at("job")[-1].summary == "running"


def test_changes_are_told_and_nothing_else(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """Pause, health and restarts are told when they change; an event that changes nothing is not news."""
    one = harness()
    web = fake_engine.run("web")
    one.expect("running")
    fake_engine.pause(web)
    one.expect("running", "running")
    fake_engine.unpause(web)
    one.expect(*["running"] * 3)
    web.health = "unhealthy"
    for _ in range(3):
        fake_engine.events.push(fake_engine.event("health_status: unhealthy", web))
    said = one.expect(*["running"] * 4)
    settled(one)
    assert len(one.published_at("web")) == 4
    assert [one.payload["state"] for one in said] == ["running", "paused", "running", "running"]
    assert [one.payload.get("health") for one in said] == [None, None, None, "unhealthy"]


def test_seq_goes_on_over_a_restart(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """The same container started again goes on counting; its usages never mix the counters of two runs."""
    one = harness()
    web = fake_engine.run("web")
    one.wait(lambda: len(one.usages()) >= 2)
    fake_engine.die(web, 1)
    one.expect("running", "exited")
    before = one.usages()[-1]
    fake_engine.begin(web)
    one.wait(lambda: one.usages()[-1] >= before + 2)
    one.expect("running", "exited", "running")
    assert one.usages() == list(range(1, len(one.usages()) + 1))


def test_a_restart_that_was_over_before_anybody_looked(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """A restart policy may start a container again before its end was looked at: the end is told all the same."""
    one = harness()
    web = fake_engine.run("web")
    one.expect("running")
    fake_engine.script("/containers/{id}/json", Answer(delay=0.3, hang_up=True), times=1)
    fake_engine.die(web, 9)
    web.restart_count = 1
    fake_engine.begin(web)
    _, exited, again = one.expect("running", "exited", "running")
    assert exited.payload["exit_code"] == 9
    assert again.payload["restart_count"] == 1


def test_an_end_that_no_event_told(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """The zeros that an engine streams for a stopped container are a reason to ask, and asking tells."""
    one = harness()
    web = fake_engine.run("web")
    one.wait(lambda: len(one.usages()) >= 1)
    fake_engine.die(web, 5, event=False)
    _, exited = one.expect("running", "exited")
    assert exited.payload["exit_code"] == 5


def test_a_removal_that_no_event_told(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """A container that is not in the list any more was removed."""
    one = harness()
    web = fake_engine.run("web")
    one.expect("running")
    fake_engine.destroy(web, event=False)
    one.supervisor.resync(one.engine.list_containers(), every=False)
    one.expect("running", "exited", "removed")


def test_a_removal_that_is_told_before_the_end(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """An engine may tell of `rm --force` in the wrong order: the end is told first all the same."""
    one = harness()
    web = fake_engine.run("web")
    one.expect("running")
    fake_engine.destroy(web, event=False)
    fake_engine.events.push(fake_engine.event("destroy", web))
    fake_engine.events.push(fake_engine.event("die", web, exitCode="137"))
    _, exited, _ = one.expect("running", "exited", "removed")
    assert "exit_code" not in exited.payload


def test_an_event_that_is_sent_once_more(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """An engine may repeat events after an interruption: an old `die` does not end the run that came after it."""
    one = harness()
    web = fake_engine.run("web")
    one.expect("running")
    old = fake_engine.event("die", web, exitCode="1") | {"timeNano": web.started - 1}
    fake_engine.events.push(old)
    fake_engine.events.push(fake_engine.event("start", web))
    settled(one)
    assert [said.summary for said in one.published_at("web")] == ["running"]


def test_the_engine_sets_its_clock_back(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """A run that ended before it began, by the engine's clock, has ended all the same, and another one has begun.

    When it ended may be told once by the event and once more by the engine's own word.
    """
    one = harness()
    web, job = fake_engine.run("web"), fake_engine.run("job")
    one.expect("running")
    one.expect("running", of="job")
    fake_engine.clock = -3600 * 10**9
    fake_engine.die(job, 5)
    one.wait(lambda: _turns(one, "job") == ["running", "exited"])
    assert one.published_at("job")[-1].payload["exit_code"] == 5
    fake_engine.die(web, 6)
    fake_engine.begin(web)
    one.wait(lambda: _turns(one, "web") == ["running", "exited", "running"])
    assert {said.payload["exit_code"] for said in one.published_at("web") if said.summary == "exited"} == {6}


def _turns(one: ContainersHarness, level: str) -> list[str]:
    """The words said of a container, without those that only say again what was said before."""
    return [word for word, _ in groupby(said.summary for said in one.published_at(level))]


def test_a_rename_goes_on_at_the_new_name(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """The old topic says `removed` and is cleared; the new one goes on, and so does `seq`."""
    one = harness()
    web = fake_engine.run("web")
    one.wait(lambda: len(one.usages()) >= 1)
    fake_engine.rename(web, "shop")
    said = one.expect("running", "removed")
    one.wait(lambda: len(one.usages("shop")) >= 1)
    assert one.usages("shop")[0] == one.usages("web")[-1] + 1
    assert said[-1].payload["container"]["name"] == "web"
    one.lives.clear_expired(float("inf"))
    one.expect("running", "removed", "cleared")
    assert one.expect("running", of="shop")[0].payload["container"]["name"] == "shop"


def test_compose_recreates_a_container(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """The name that a container has for a moment while Compose replaces it is never a topic."""
    one = harness()
    old = fake_engine.run("web")
    one.expect("running")
    new = fake_engine.create(f"{old.id[:12]}_web", created=old.created + 1)
    fake_engine.die(old)
    fake_engine.destroy(old)
    fake_engine.rename(new, "web")
    fake_engine.begin(new)
    said = one.expect("running", "exited", "removed", "running")
    assert said[-1].payload["container"]["id"] == new.id
    assert {said.topic.partition("/")[0] for said in one.published} == {"web"}


def test_a_name_that_is_free_before_the_agent_has_heard_of_it(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """A container that was found under the name of another waits for the event that tells what became of that one."""
    one = harness()
    old = fake_engine.run("web")
    one.expect("running")
    settled(one)
    fake_engine.destroy(old, event=False)
    looks = fake_engine.requests["/containers/{id}/json"]
    new = fake_engine.run("web")
    wait_until(lambda: fake_engine.requests["/containers/{id}/json"] > looks, 20, "nobody looks at the new one")
    fake_engine.events.push(fake_engine.event("die", old, exitCode="137"))
    fake_engine.events.push(fake_engine.event("destroy", old))
    said = one.expect("running", "exited", "removed", "running")
    assert said[-1].payload["container"]["id"] == new.id
    assert {said.topic.partition("/")[0] for said in one.published if not said.topic.startswith("marker")} == {"web"}


def test_compose_recreates_a_container_the_old_way(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """The old one steps aside under its own short id; what becomes of it there is not told as the new one's."""
    one = harness()
    old = fake_engine.run("web")
    one.expect("running")
    fake_engine.die(old)
    fake_engine.rename(old, f"{old.id[:12]}_web")
    new = fake_engine.run("web", created=old.created + 1)
    one.expect("running", "exited", "running")
    fake_engine.destroy(old)
    settled(one)
    said = one.expect("running", "exited", "running")
    assert said[-1].payload["container"]["id"] == new.id
    one.lives.clear_expired(float("inf"))
    assert "cleared" not in [said.summary for said in one.published_at("web")]


def test_names_that_collide(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """Two containers of one service do not speak over each other: the older keeps the plain level, and it is logged."""
    expected_warnings("web-2 is published as web-[0-9a-f]{12}: an older container has that level")
    one = harness(template="{service}")
    labels = {"com.docker.compose.service": "web"}
    fake_engine.run("web-1", labels=labels)
    one.expect("running")
    second = fake_engine.run("web-2", labels=labels)
    one.expect("running", of=f"web-{second.id[:12]}")


def test_a_removed_container_is_forgotten(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """In time its retained status is cleared, unless another of that name has come."""
    one = harness()
    fake_engine.destroy(fake_engine.run("web"))
    one.expect("running", "exited", "removed")
    fake_engine.destroy(fake_engine.run("job"))
    one.expect("running", "exited", "removed", of="job")
    fake_engine.run("job")
    one.expect("running", "exited", "removed", "running", of="job")
    one.lives.clear_expired(float("inf"))
    one.expect("running", "exited", "removed", "cleared")
    one.expect("running", "exited", "removed", "running", of="job")


@pytest.mark.parametrize(
    ("name", "labels", "selected"),
    [
        ("web", {}, True),
        ("test-web", {}, False),
        ("test-web", {"usage-agent.enable": "true"}, True),
        ("web", {"usage-agent.enable": "false"}, False),
        ("db", {}, False),
    ],
)
def test_selection(
    harness: Callable[..., ContainersHarness],
    fake_engine: FakeEngine,
    name: str,
    labels: dict[str, str],
    selected: bool,
) -> None:
    """Include and exclude choose by name; a container's own label outranks both."""
    one = harness(include=("*web",), exclude=("test-*",))
    looked_at = fake_engine.run(name, labels=labels)
    if selected:
        one.expect("running", of=name)
    else:
        one.wait_for_inspect(looked_at.id)
        assert one.published_at(name) == []


def test_a_rename_may_exclude(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """A container that gets an excluded name is not selected any more, and its topic says why."""
    one = harness(exclude=("test-*",))
    web = fake_engine.run("web")
    one.expect("running")
    fake_engine.rename(web, "test-web")
    one.expect("running", "excluded")
    assert one.supervisor.collectors == []


def test_the_engine_restarts_and_containers_live_on(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """A daemon that goes away and comes back stops no container, and its usages go on."""
    expected_warnings("looking for it every")
    one = harness()
    fake_engine.run("web")
    one.wait(lambda: len(one.usages()) >= 1)
    fake_engine.stop()
    one.wait_for_trouble()
    before = len(one.usages())
    fake_engine.start()
    one.wait(lambda: len(one.usages()) >= before + 2)
    assert [said.summary for said in one.published_at("web")] == ["running"]
    assert one.usages() == list(range(1, len(one.usages()) + 1))


def test_the_time_without_an_engine_is_covered(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """What a container used while the engine was away is in the first usage after it: they follow without a gap."""
    expected_warnings("looking for it every")
    one = harness()
    fake_engine.run("web")
    one.wait(lambda: len(one.usages()) >= 1)
    fake_engine.stop()
    one.wait_for_trouble()
    before = len(one.usages())
    fake_engine.start()
    one.wait(lambda: len(one.usages()) >= before + 2)
    usages = [said.payload for said in one.published_at("web", usages=True) if said.summary == "usage"]
    for earlier, later in pairwise(usages):
        assert later["timestamp"] / 1e9 - later["interval"] == pytest.approx(earlier["timestamp"] / 1e9, abs=0.001)


def test_the_engine_restarts_and_containers_do_not(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """What ended, was removed or began while the engine was away is found when it is back."""
    expected_warnings("looking for it every")
    one = harness()
    ends, goes = fake_engine.run("ends"), fake_engine.run("goes")
    one.expect("running", of="ends")
    one.expect("running", of="goes")
    fake_engine.stop()
    one.wait_for_trouble()
    fake_engine.die(ends, 4, event=False)
    fake_engine.destroy(goes, event=False)
    fake_engine.run("comes")
    fake_engine.start()
    assert one.expect("running", "exited", of="ends")[-1].payload["exit_code"] == 4
    one.expect("running", "exited", "removed", of="goes")
    one.expect("running", of="comes")


@pytest.mark.parametrize("answer", [Answer(500), Answer(body=b"<html>"), Answer(body=b"{}"), Answer(hang_up=True)])
def test_a_container_that_could_not_be_looked_at(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine, answer: Answer
) -> None:
    """A container of which the engine says nothing of use is looked at again soon, not with the next list."""
    fake_engine.run("web")
    looks = fake_engine.script("/containers/{id}/json", answer, times=2)
    one = harness()
    one.wait(lambda: len(one.usages()) >= 1)
    assert looks.used == 2
    assert one.engine.counters()["errors"] == 2


def test_a_container_that_can_never_be_looked_at(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """However often there is reason to look at it, it is asked for seldom; others go on."""
    bad = fake_engine.run("bad", looked_at=Answer(body=b"{}"))
    one = harness()
    one.wait_for_attempts(bad.id, 2)
    for _ in range(50):
        one.supervisor.request_inspect(bad.id)
    one.wait_for_attempts(bad.id, 3)
    settled(one)
    assert fake_engine.requests["/containers/{id}/json"] < 60
    bad.looked_at = None
    one.expect("running", of="bad")


def test_a_removal_that_could_not_be_looked_at(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """An engine that is too busy to answer when a container is removed is asked again, and the removal is told."""
    web = fake_engine.run("web")
    one = harness()
    one.expect("running")
    fake_engine.script("/containers/{id}/json", Answer(500), times=4)
    fake_engine.destroy(web)
    one.expect("running", "exited", "removed")


def test_an_answer_about_another_container(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """What an engine says of another container than was asked for is not told of this one."""
    web, other = fake_engine.run("web"), fake_engine.create("other")
    fake_engine.script("/containers/{id}/json", json_answer(web.inspect()), times=2)
    one = harness()
    one.wait(lambda: len(one.usages()) >= 1)
    one.wait_for_inspect(other.id)
    assert {said.payload["container"]["id"] for said in one.published_at("web", usages=True)} == {web.id}


def test_nothing_is_said_after_the_farewell(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """The engine may answer late: what it says then comes after the agent's last word, and is not told."""
    one = harness()
    settled(one)
    wait_until(lambda: one.supervisor.complete, 20, "something is left to be done")
    late = fake_engine.script("/containers/{id}/json", Answer(delay=1, hang_up=True), times=1)
    web = fake_engine.create("web")
    fake_engine.begin(web)
    wait_until(lambda: late.used == 1, 20, "nobody asks")
    one.close()
    one.supervisor.publish_agent_exit()
    wait_until(lambda: one.supervisor.complete, 20, "the worker does not come back")
    assert one.published_at("web", usages=True) == []
    assert one.supervisor.collectors == []


def test_farewell(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """At the end everything that runs is left as stopped by the agent's exit; nothing is said after it."""
    one = harness()
    ended: FakeContainer = fake_engine.run("ended")
    fake_engine.run("web")
    one.wait(lambda: bool(one.usages()) and bool(one.usages("ended")))
    fake_engine.die(ended)
    one.expect("running", "exited", of="ended")
    one.close()
    one.supervisor.publish_agent_exit()
    said = one.published_at("web", usages=True)
    assert said[-1].summary == "agent exit"
    assert "exit_code" not in said[-1].payload
    assert [said.summary for said in one.published_at("ended")] == ["running", "exited"]
