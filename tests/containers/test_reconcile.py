"""Retained statuses of an earlier run of the agent are replaced by what the engine says now."""

import time
from typing import Any

import orjson
import pytest
from conftest import ExpectWarnings
from support.fakes.engine import Answer, FakeEngine

from agent.runtime.timestamps import format_time
from containers.harness import MakeHarness


def retained(container_id: str, status: str, reason: str | None = None, ago: float = 0.0, name: str = "web") -> bytes:
    """Return a status as an earlier run would have left it."""
    document: dict[str, Any] = {
        "status": status,
        "time": format_time(time.time_ns() - int(ago * 1e9)),
        "container": {"id": container_id, "name": name, "image": "busybox"},
    }
    return orjson.dumps(document | ({"reason": reason} if reason else {}))


UNKNOWN_ID = "f" * 64  # of no container of the engine


@pytest.mark.parametrize(("status", "reason"), [("running", None), ("stopped", "agent exit"), ("stopped", "exited")])
def test_container_that_the_engine_does_not_know_is_removed(
    make_harness: MakeHarness,
    status: str,
    reason: str | None,
) -> None:
    """It was removed while the agent did not run; its status is cleared in time."""
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": retained(UNKNOWN_ID, status, reason)})
    harness.expect("removed")
    harness.registry.clear_expired(time.monotonic() + 601)
    harness.expect("removed", "cleared")


@pytest.mark.parametrize("last_usage", [{"seq": 1, "network": {"rx_rate": 0.5}}, None, "text"])
def test_status_with_a_usage_of_another_version_is_understood(make_harness: MakeHarness, last_usage: object) -> None:
    """Other versions of the agent publish other fields: that is no reason to leave their statuses for ever."""
    harness = make_harness()
    status = orjson.loads(retained(UNKNOWN_ID, "running")) | {"last_usage": last_usage}
    harness.supervisor.add_retained({"containers/host/web/status": orjson.dumps(status)})
    (removed,) = harness.expect("removed")
    assert "last_usage" not in removed.payload


def test_published_removal_is_not_published_again(make_harness: MakeHarness) -> None:
    """The status is cleared in time, and the time since the removal counts."""
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": retained(UNKNOWN_ID, "stopped", "removed", ago=500)})
    harness.wait_for_events()
    harness.wait_for_workers()
    harness.registry.clear_expired(time.monotonic() + 90)
    assert harness.published_at("web") == []
    harness.registry.clear_expired(time.monotonic() + 101)
    harness.expect("cleared")


def test_removal_in_the_future_counts_from_now(make_harness: MakeHarness) -> None:
    """If the clock was set back since the removal, its status is cleared after the whole time, from now."""
    harness = make_harness()
    harness.supervisor.add_retained(
        {"containers/host/web/status": retained(UNKNOWN_ID, "stopped", "removed", ago=-3600)}
    )
    harness.wait_for_events()
    harness.wait_for_workers()
    harness.registry.clear_expired(time.monotonic() + 601)
    harness.expect("cleared")


@pytest.mark.parametrize(("status", "reason"), [("running", None), ("stopped", "agent exit")])
def test_container_that_has_ended_is_exited(
    make_harness: MakeHarness,
    fake_engine: FakeEngine,
    status: str,
    reason: str | None,
) -> None:
    """The engine still knows its exit code. A removal after that is published too."""
    web = fake_engine.run("web")
    fake_engine.die(web, 6)
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": retained(web.id, status, reason)})
    assert harness.expect("exited")[0].payload["exit_code"] == 6
    fake_engine.destroy(web)
    harness.expect("exited", "removed")


def test_published_end_is_not_published_again(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """The removal after it is published."""
    web = fake_engine.run("web")
    fake_engine.die(web, 6)
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": retained(web.id, "stopped", "exited")})
    harness.wait_for_events()
    assert harness.published_at("web") == []
    fake_engine.destroy(web)
    harness.expect("removed")


def test_container_without_an_exit_code_is_gone(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """The engine knows the container but not how it ended: `gone`, and nothing is guessed."""
    web = fake_engine.create("web")
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": retained(web.id, "running")})
    harness.expect("gone")


def test_status_of_a_running_container_replaces_every_earlier_one(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """The present owner of a level is published there, whichever container had it before."""
    web = fake_engine.run("web")
    harness = make_harness()
    harness.expect("running")
    harness.supervisor.add_retained({"containers/host/web/status": retained(web.id, "stopped", "agent exit")})
    harness.supervisor.add_retained({"containers/host/web/status": retained(UNKNOWN_ID, "running")})
    harness.wait_for_events()
    harness.registry.clear_expired(float("inf"))
    harness.expect("running")


def test_container_that_was_renamed_leaves_its_old_level(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """It was renamed while the agent did not run: the old topic is `removed` and then cleared."""
    web = fake_engine.run("shop")
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": retained(web.id, "running")})
    harness.expect("removed")
    harness.registry.clear_expired(time.monotonic() + 2)
    harness.expect("removed", "cleared")
    harness.expect("running", of="shop")


def test_container_that_is_excluded_now_is_published_as_excluded_once(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """The configuration has changed since; a second run does not publish it again."""
    web = fake_engine.run("web")
    harness = make_harness(exclude=("web",))
    harness.supervisor.add_retained({"containers/host/web/status": retained(web.id, "running")})
    harness.expect("excluded")
    harness.supervisor.add_retained({"containers/host/web/status": retained(web.id, "stopped", "excluded")})
    harness.wait_for_events()
    harness.expect("excluded")


@pytest.mark.parametrize("rubbish", [b"online", b"{}", b"[]", b'{"status":"running"}', b"\xff", b'{"status":1}'])
def test_retained_message_that_is_no_status_is_left_alone(
    make_harness: MakeHarness,
    expected_warnings: ExpectWarnings,
    rubbish: bytes,
) -> None:
    """A retained message of another program at one of the agent's topics is not changed, but logged."""
    expected_warnings("containers/host/web/status holds a retained message that is no status")
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": rubbish, "containers/host/web/other": b"1"})
    harness.wait_for_events()
    assert harness.published_at("web") == []


def test_retained_status_waits_for_the_first_inspect(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """A container that the engine cannot describe yet is neither removed nor excluded; others are reconciled."""
    web = fake_engine.run("web")
    web.inspect_answer = Answer(500)
    harness = make_harness()
    harness.supervisor.add_retained(
        {
            "containers/host/web/status": retained(web.id, "stopped", "agent exit"),
            "containers/host/job/status": retained(UNKNOWN_ID, "running", name="job"),
        }
    )
    harness.expect("removed", of="job")
    harness.wait_for_events()
    assert harness.published_at("web") == []
    fake_engine.die(web, 3, event=False)
    web.inspect_answer = None
    assert harness.expect("exited")[0].payload["exit_code"] == 3


def test_container_that_gives_way_is_not_called_excluded(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """Compose has renamed it to make room for its successor, and neither runs: it has left the level."""
    old = fake_engine.create("web")
    fake_engine.rename(old, f"{old.id[:12]}_web")
    fake_engine.create("web", created=old.created + 1)
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": retained(old.id, "running")})
    harness.expect("removed")


def test_container_that_ended_before_the_agent_came_has_a_status(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """Nothing was retained of it: `exited` with its exit code, once; one that never ran has no status."""
    web = fake_engine.run("web")
    fake_engine.die(web, 3)
    created = fake_engine.create("never-run")
    harness = make_harness()
    harness.wait_for_inspect(web.id)
    harness.wait_for_inspect(created.id)
    harness.wait_for_workers()
    assert harness.published == []
    harness.supervisor.add_retained({})
    assert harness.expect("exited")[0].payload["exit_code"] == 3
    harness.supervisor.add_retained({})
    fake_engine.begin(web)
    harness.expect("exited", "running")
    assert harness.published_at("never-run") == []


def test_container_that_is_named_by_its_label_now_leaves_its_old_level(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """A version of the agent that did not know the label has published it by its own name."""
    web = fake_engine.run("web", labels={"usage-agent.name": "shop"})
    harness = make_harness()
    harness.supervisor.add_retained({"containers/host/web/status": retained(web.id, "running")})
    harness.expect("removed")
    harness.expect("running", of="shop")
    harness.registry.clear_expired(time.monotonic() + 2)
    harness.expect("removed", "cleared")


def test_container_that_was_made_anew_without_its_label_leaves_the_labels_level(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """Another one with the label may have ended there: it is the one that is told of."""
    fake_engine.run("web")
    ended = fake_engine.run("web-2", labels={"usage-agent.name": "cart"})
    fake_engine.die(ended, 3)
    harness = make_harness()
    harness.supervisor.add_retained(
        {
            "containers/host/shop/status": retained(UNKNOWN_ID, "running", name="shop"),
            "containers/host/cart/status": retained(ended.id, "running", name="cart"),
        }
    )
    harness.expect("removed", of="shop")
    harness.expect("running")
    assert harness.expect("exited", of="cart")[0].payload["exit_code"] == 3
