"""The last statuses of the agent: nothing is started or published after them, whatever the engine still answers."""

import json
import threading
from collections.abc import Iterator

from support.daemons.processes import wait_until
from support.fakes.engine import Answer, FakeContainer, FakeEngine

from containers.harness import MakeHarness


def test_running_containers_are_published_as_stopped_by_the_agents_exit(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """A container that had ended before keeps its own status."""
    harness = make_harness()
    ended: FakeContainer = fake_engine.run("ended")
    fake_engine.run("web")
    harness.wait(lambda: bool(harness.usages()) and bool(harness.usages("ended")))
    fake_engine.die(ended)
    harness.expect("running", "exited", of="ended")
    harness.close()
    harness.supervisor.publish_agent_exit()
    messages = harness.published_at("web", usages=True)
    assert messages[-1].summary == "agent exit"
    assert "exit_code" not in messages[-1].payload
    harness.expect("running", "exited", of="ended")


def test_late_answer_of_the_engine_is_not_published(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """An inspect that is answered after stop() starts no collector."""
    harness = make_harness()
    harness.wait_for_events()
    harness.wait_for_workers()
    late = fake_engine.script("/containers/{id}/json", Answer(delay=1, hang_up=True), times=1)
    web = fake_engine.create("web")
    fake_engine.begin(web)
    wait_until(lambda: late.used == 1, 20, "the container is not inspected")
    harness.close()
    harness.supervisor.publish_agent_exit()
    harness.wait_for_workers()
    assert harness.published_at("web", usages=True) == []
    assert harness.supervisor.collectors == []


def test_container_that_waits_for_a_level_is_not_published_after_the_exit(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """A container that waited for the last owner of its name to be removed is not started after stop()."""
    harness = make_harness()
    old = fake_engine.run("web")
    harness.expect("running")
    answer_now = threading.Event()
    old.inspect_answer = Answer(chunks=_inspect_document(old, answer_now))
    fake_engine.events.push(fake_engine.event("destroy", old))
    fake_engine.run("web")
    harness.wait_for_events()  # the new container was inspected, and waits for the old one
    harness.close()
    harness.supervisor.publish_agent_exit()
    harness.expect("running", "agent exit")
    before = list(harness.published)
    answer_now.set()
    harness.wait_for_workers()
    assert harness.published == before
    assert [tracked.id for tracked in harness.registry.list() if tracked.collector] == [old.id]


def _inspect_document(container: FakeContainer, answer_now: threading.Event) -> Iterator[bytes]:
    """Yield a container's inspect document as soon as the test wants it to be sent."""
    answer_now.wait(20)
    yield json.dumps(container.inspect()).encode()
