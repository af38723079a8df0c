"""Figures over all containers, for the agent's counters."""

import pytest
from conftest import ExpectWarnings
from support.daemons.processes import wait_until
from support.fakes.engine import FakeEngine

from containers.harness import ContainersHarness, MakeHarness

MESSAGE = "the figures are not those that were expected"


def counted(harness: ContainersHarness) -> tuple[int, int]:
    """Return how many containers are stopped, and how many unhealthy."""
    found = harness.registry.summarize()
    return found.stopped, found.unhealthy


def test_stopped_and_unhealthy_containers_are_counted(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """Also one that ended before the agent came, or never ran; none that is left out, or that was removed."""
    gone = fake_engine.run("gone")
    fake_engine.die(gone, 3)
    fake_engine.create("never-run")
    fake_engine.die(fake_engine.run("left-out"))
    fake_engine.run("left-out-too", health="unhealthy")
    harness = make_harness(exclude=("left-*",))
    web = fake_engine.run("web", health="starting")
    wait_until(lambda: counted(harness) == (2, 0), 20, MESSAGE)
    harness.expect("running")
    web.health = "unhealthy"
    fake_engine.events.push(fake_engine.event("health_status: unhealthy", web))
    wait_until(lambda: counted(harness) == (2, 1), 20, MESSAGE)
    fake_engine.die(web)
    wait_until(lambda: counted(harness) == (3, 0), 20, MESSAGE)
    fake_engine.destroy(web)
    fake_engine.begin(gone)
    wait_until(lambda: counted(harness) == (1, 0), 20, MESSAGE)


def test_last_usages_of_running_containers_are_summed(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """One without usages counts nothing; with no container running the sums are 0, with none measured absent."""
    expected_warnings("no readings of broken")
    harness = make_harness()
    harness.wait_for_events()
    assert harness.registry.summarize().total == {"cpu_percent": 0, "memory_used": 0}
    web, db = fake_engine.run("web", cpu=0.5), fake_engine.run("db", cpu=0.25)
    broken = fake_engine.run("broken", raw=b"<html>\n")
    harness.expect("running", of="broken")
    harness.wait(lambda: bool(harness.usages("web") and harness.usages("db")))
    used = next(message.payload for message in harness.published if message.topic == "web/usage")["memory"]["used"]
    assert harness.registry.summarize().total == {"cpu_percent": pytest.approx(75, abs=5), "memory_used": 2 * used}
    fake_engine.die(web)
    wait_until(lambda: harness.registry.summarize().total.get("memory_used") == used, 20, MESSAGE)
    assert harness.registry.summarize().total["cpu_percent"] == pytest.approx(25, abs=5)
    fake_engine.die(db)
    wait_until(lambda: harness.registry.summarize().total == {}, 20, MESSAGE)
    fake_engine.die(broken)
    wait_until(lambda: bool(harness.registry.summarize().total), 20, MESSAGE)
    assert harness.registry.summarize().total == {"cpu_percent": 0, "memory_used": 0}


def test_container_that_has_fallen_silent_counts_nothing(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """Its last usage is not of now; when the readings are back it counts again."""
    expected_warnings("no readings of web")
    harness = make_harness()
    web = fake_engine.run("web")
    wait_until(lambda: bool(harness.registry.summarize().total), 20, MESSAGE)
    harness.wait(lambda: bool(harness.usages()))
    web.raw = b"<html>\n"
    wait_until(lambda: harness.registry.summarize().total == {}, 20, MESSAGE)
    web.raw = None
    wait_until(lambda: "cpu_percent" in harness.registry.summarize().total, 20, MESSAGE)
