"""What an earlier run of the agent left on the broker is set right, as the engine knows it."""

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from conftest import ExpectWarnings
from support.daemons.processes import wait_until
from support.fakes.engine import FakeEngine

from agent.runtime.timestamps import format_time
from containers.harness import ContainersHarness, settled


def retained(container_id: str, status: str, reason: str | None = None, ago: float = 0.0, name: str = "web") -> bytes:
    """Give a status as an earlier run would have left it."""
    document: dict[str, Any] = {
        "status": status,
        "time": format_time(time.time_ns() - int(ago * 1e9)),
        "container": {"id": container_id, "name": name, "image": "busybox"},
    }
    return orjson.dumps(document | ({"reason": reason} if reason else {}))


NOBODY = "f" * 64


@pytest.mark.parametrize(("status", "reason"), [("running", None), ("stopped", "agent exit"), ("stopped", "exited")])
def test_a_container_that_the_engine_does_not_know(
    harness: Callable[..., ContainersHarness],
    status: str,
    reason: str | None,
) -> None:
    """It was removed while no agent was looking; in time it is forgotten."""
    one = harness()
    one.supervisor.add_retained({"containers/host/web/status": retained(NOBODY, status, reason)})
    one.expect("removed")
    one.lives.clear_expired(time.monotonic() + 601)
    one.expect("removed", "cleared")


def test_a_removal_that_was_told_already(harness: Callable[..., ContainersHarness]) -> None:
    """It is not told again, and the time that has passed since counts."""
    one = harness()
    one.supervisor.add_retained({"containers/host/web/status": retained(NOBODY, "stopped", "removed", ago=500)})
    settled(one)
    wait_until(lambda: one.supervisor.complete, 20, "something is left to be done")
    one.lives.clear_expired(time.monotonic() + 90)
    assert one.published_at("web") == []
    one.lives.clear_expired(time.monotonic() + 101)
    one.expect("cleared")


def test_a_removal_that_seems_to_be_to_come(harness: Callable[..., ContainersHarness]) -> None:
    """The clock was set back since it was told: it is forgotten in its time, counted from now."""
    one = harness()
    one.supervisor.add_retained({"containers/host/web/status": retained(NOBODY, "stopped", "removed", ago=-3600)})
    settled(one)
    wait_until(lambda: one.supervisor.complete, 20, "something is left to be done")
    one.lives.clear_expired(time.monotonic() + 601)
    one.expect("cleared")


@pytest.mark.parametrize(("status", "reason"), [("running", None), ("stopped", "agent exit")])
def test_a_container_that_has_ended(
    harness: Callable[..., ContainersHarness],
    fake_engine: FakeEngine,
    status: str,
    reason: str | None,
) -> None:
    """The engine still knows how: it exited. What is then removed says so."""
    web = fake_engine.run("web")
    fake_engine.die(web, 6)
    one = harness()
    one.supervisor.add_retained({"containers/host/web/status": retained(web.id, status, reason)})
    assert one.expect("exited")[0].payload["exit_code"] == 6
    fake_engine.destroy(web)
    one.expect("exited", "removed")


def test_an_end_that_was_told_already(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """It is not told again, but its removal will be."""
    web = fake_engine.run("web")
    fake_engine.die(web, 6)
    one = harness()
    one.supervisor.add_retained({"containers/host/web/status": retained(web.id, "stopped", "exited")})
    settled(one)
    assert one.published_at("web") == []
    fake_engine.destroy(web)
    one.expect("removed")


def test_a_container_that_never_ran_again(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """The engine knows the container, but no end of it: it is gone, and nothing is guessed."""
    web = fake_engine.create("web")
    one = harness()
    one.supervisor.add_retained({"containers/host/web/status": retained(web.id, "running")})
    one.expect("gone")


def test_a_container_that_runs(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """What is said of it now has replaced what was said before, whichever container that was."""
    web = fake_engine.run("web")
    one = harness()
    one.expect("running")
    one.supervisor.add_retained({"containers/host/web/status": retained(web.id, "stopped", "agent exit")})
    one.supervisor.add_retained({"containers/host/web/status": retained(NOBODY, "running")})
    settled(one)
    one.lives.clear_expired(float("inf"))
    one.expect("running")


def test_a_container_that_has_another_name_now(
    harness: Callable[..., ContainersHarness], fake_engine: FakeEngine
) -> None:
    """It was renamed while no agent was looking: the old topic says removed and is cleared."""
    web = fake_engine.run("shop")
    one = harness()
    one.supervisor.add_retained({"containers/host/web/status": retained(web.id, "running")})
    one.expect("removed")
    one.lives.clear_expired(time.monotonic() + 2)
    one.expect("removed", "cleared")
    one.expect("running", of="shop")


def test_a_container_that_is_excluded_now(harness: Callable[..., ContainersHarness], fake_engine: FakeEngine) -> None:
    """The configuration has changed: the topic says excluded, once."""
    web = fake_engine.run("web")
    one = harness(exclude=("web",))
    one.supervisor.add_retained({"containers/host/web/status": retained(web.id, "running")})
    one.expect("excluded")
    one.supervisor.add_retained({"containers/host/web/status": retained(web.id, "stopped", "excluded")})
    settled(one)
    one.expect("excluded")


@pytest.mark.parametrize("rubbish", [b"online", b"{}", b"[]", b'{"status":"running"}', b"\xff", b'{"status":1}'])
def test_what_is_no_status_is_left_alone(
    harness: Callable[..., ContainersHarness],
    expected_warnings: ExpectWarnings,
    rubbish: bytes,
) -> None:
    """Somebody else's retained message at one of our topics is not touched; one line says so."""
    expected_warnings("containers/host/web/status holds a retained message that is no status")
    one = harness()
    one.supervisor.add_retained({"containers/host/web/status": rubbish, "containers/host/web/other": b"1"})
    settled(one)
    assert one.published_at("web") == []
