"""One topic level and several containers: renames, Compose, collisions, a name that is used again."""

import pytest
from conftest import ExpectWarnings
from support.daemons.processes import wait_until
from support.fakes.engine import FakeEngine

from containers.harness import MakeHarness


def test_renamed_container_continues_at_the_new_level(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """The old topic is `removed` and then cleared; `seq` continues at the new one."""
    harness = make_harness()
    web = fake_engine.run("web")
    harness.wait(lambda: len(harness.usages()) >= 1)
    fake_engine.rename(web, "shop")
    messages = harness.expect("running", "removed")
    harness.wait(lambda: len(harness.usages("shop")) >= 1)
    assert harness.usages("shop")[0] == harness.usages("web")[-1] + 1
    assert messages[-1].payload["container"]["name"] == "web"
    harness.registry.clear_expired(float("inf"))
    harness.expect("running", "removed", "cleared")
    assert harness.expect("running", of="shop")[0].payload["container"]["name"] == "shop"


def test_containers_of_one_name_are_published_one_after_the_other(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """Containers that were removed before their inspect are published in the order in which they had the name."""
    harness = make_harness()
    harness.wait_for_events()
    jobs = [fake_engine.run("job")]
    for _ in range(20):
        fake_engine.destroy(jobs[-1])
        jobs.append(fake_engine.run("job"))
    harness.wait(lambda: bool(harness.usages("job")))
    ids = [message.payload["container"]["id"] for message in harness.published_at("job")]
    assert list(dict.fromkeys(ids)) == [job.id for job in jobs]
    assert ids == sorted(ids, key=[job.id for job in jobs].index)
    assert harness.published_at("job")[-1].summary == "running"


def test_temporary_name_of_compose_is_not_a_topic(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """Compose gives the new container the old one's short id in front until the old one is removed."""
    harness = make_harness()
    old = fake_engine.run("web")
    harness.expect("running")
    new = fake_engine.create(f"{old.id[:12]}_web", created=old.created + 1)
    fake_engine.die(old)
    fake_engine.destroy(old)
    fake_engine.rename(new, "web")
    fake_engine.begin(new)
    messages = harness.expect("running", "exited", "removed", "running")
    assert messages[-1].payload["container"]["id"] == new.id
    assert harness.levels() == {"web"}


def test_temporary_name_of_older_compose_gives_way(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """Older versions put the old container's short id before its name; its removal is not published there."""
    harness = make_harness()
    old = fake_engine.run("web")
    harness.expect("running")
    fake_engine.die(old)
    fake_engine.rename(old, f"{old.id[:12]}_web")
    new = fake_engine.run("web", created=old.created + 1)
    harness.expect("running", "exited", "running")
    fake_engine.destroy(old)
    harness.wait_for_events()
    messages = harness.expect("running", "exited", "running")
    assert messages[-1].payload["container"]["id"] == new.id
    harness.registry.clear_expired(float("inf"))
    assert "cleared" not in [message.summary for message in harness.published_at("web")]


def test_new_owner_of_a_name_waits_for_the_removal_of_the_old_one(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """A container that is found with the name of another waits for the event that tells what became of that one."""
    harness = make_harness()
    old = fake_engine.run("web")
    harness.expect("running")
    harness.wait_for_events()
    fake_engine.destroy(old, event=False)
    inspects = fake_engine.requests["/containers/{id}/json"]
    new = fake_engine.run("web")
    wait_until(lambda: fake_engine.requests["/containers/{id}/json"] > inspects, 20, "the new one is not inspected")
    fake_engine.events.push(fake_engine.event("die", old, exitCode="137"))
    fake_engine.events.push(fake_engine.event("destroy", old))
    messages = harness.expect("running", "exited", "removed", "running")
    assert messages[-1].payload["container"]["id"] == new.id
    assert harness.levels() == {"web"}


def test_new_owner_of_a_name_waits_for_a_limited_time(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """If the old owner's event is lost, the new one is published at another level until the next list."""
    expected_warnings("web is published as web-[0-9a-f]{12}: an older container has that level")
    harness = make_harness()
    old = fake_engine.run("web")
    harness.expect("running")
    harness.wait_for_events()
    fake_engine.destroy(old, event=False)
    new = fake_engine.run("web")
    harness.expect("running", of=f"web-{new.id[:12]}")
    harness.supervisor.resync(harness.engine.list_containers(), inspect_all=False)
    harness.wait(lambda: harness.published_at("web")[-1].payload["container"]["id"] == new.id)


def test_younger_of_two_colliding_containers_has_its_id_in_the_level(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """Two containers of one service do not share a topic: the older keeps the plain level, and that is logged."""
    expected_warnings("web-2 is published as web-[0-9a-f]{12}: an older container has that level")
    harness = make_harness(template="{service}")
    labels = {"com.docker.compose.service": "web"}
    fake_engine.run("web-1", labels=labels)
    harness.expect("running")
    second = fake_engine.run("web-2", labels=labels)
    harness.expect("running", of=f"web-{second.id[:12]}")


def test_level_that_ends_in_the_short_id_by_its_template_is_no_collision(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """No warning says that another container has the level."""
    harness = make_harness(template="{name}-{short_id}")
    web = fake_engine.run("web")
    harness.expect("running", of=f"web-{web.id[:12]}")


@pytest.mark.slow
def test_status_of_a_removed_container_is_cleared_in_time(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """Its retained status is cleared, unless another container has its level by then."""
    harness = make_harness()
    fake_engine.destroy(fake_engine.run("web"))
    harness.expect("running", "exited", "removed")
    fake_engine.destroy(fake_engine.run("job"))
    harness.expect("running", "exited", "removed", of="job")
    fake_engine.run("job")
    harness.expect("running", "exited", "removed", "running", of="job")
    harness.registry.clear_expired(float("inf"))
    harness.expect("running", "exited", "removed", "cleared")
    harness.expect("running", "exited", "removed", "running", of="job")
