"""A container that ends, or seems to, while the engine does not answer: only the kernel's files can tell."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ExpectWarnings
from support.fakes.engine import Answer, FakeEngine
from support.fakes.local_machine import LocalMachine

from agent.kernel.reader import KernelReader
from containers.harness import ContainersHarness, MakeHarness

AWAY = "looking for it every"
STAT = "4242 (sh) S 7 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 {started} 4096 1\n"


class Machine(LocalMachine):
    """The fake engine and the kernel's files of its container `web`."""

    def __init__(self, fake: FakeEngine, directory: Path) -> None:
        super().__init__(fake, directory)
        self.begin(1)

    @property
    def kernel(self) -> KernelReader:
        """A reader of these files."""
        return KernelReader(str(self.tree.proc), str(self.tree.cgroups))

    def begin(self, started: int) -> None:
        """Let the container's first process run, and another one."""
        self.tree.process({"stat": STAT.format(started=started)})
        self.tree.change({"pids.current": "2\n"})

    def end(self) -> None:
        """End all processes of the container."""
        (self.tree.proc / "4242/stat").unlink()
        self.tree.change({"pids.current": "0\n"})


@pytest.fixture
def machine(fake_engine: FakeEngine, tmp_path: Path) -> Machine:
    """Give the fake engine and a kernel that agree."""
    return Machine(fake_engine, tmp_path)


@pytest.fixture
def harness(machine: Machine, make_harness: MakeHarness) -> ContainersHarness:
    """Give the agent's parts, which read the kernel's files of the container."""
    made = make_harness(kernel=machine.kernel, timeout=1)
    made.wait(lambda: len(made.usages()) >= 1)
    return made


def stop_engine(machine: Machine, harness: ContainersHarness, expected_warnings: ExpectWarnings) -> None:
    expected_warnings(AWAY)
    machine.fake.stop()
    harness.wait_for_trouble()


def test_end_is_gone_and_then_exited(
    machine: Machine, harness: ContainersHarness, expected_warnings: ExpectWarnings
) -> None:
    """The engine, when it is back, knows the exit code."""
    stop_engine(machine, harness, expected_warnings)
    machine.end()
    gone = harness.expect("running", "gone")[-1].payload
    assert not gone.keys() & {"state", "exit_code", "finished_at", "health", "trouble"}
    machine.fake.die(machine.container, 4, event=False)
    machine.fake.start()
    assert harness.expect("running", "gone", "exited")[-1].payload["exit_code"] == 4
    assert harness.supervisor.collectors == []


def test_event_that_comes_late_changes_nothing_else(
    machine: Machine, harness: ContainersHarness, expected_warnings: ExpectWarnings
) -> None:
    """The end is published once more, by its exit code, and not as another one."""
    stop_engine(machine, harness, expected_warnings)
    machine.end()
    harness.expect("running", "gone")
    machine.fake.die(machine.container, 4)
    machine.fake.start()
    harness.expect("running", "gone", "exited")
    harness.wait_for_events()
    harness.expect("running", "gone", "exited")


def test_end_and_removal(machine: Machine, harness: ContainersHarness, expected_warnings: ExpectWarnings) -> None:
    """A container that the engine does not know any more is `removed`."""
    stop_engine(machine, harness, expected_warnings)
    machine.end()
    harness.expect("running", "gone")
    machine.fake.destroy(machine.container, event=False)
    machine.fake.start()
    harness.expect("running", "gone", "removed")


def test_run_that_the_engine_has_begun_meanwhile(
    machine: Machine, harness: ContainersHarness, expected_warnings: ExpectWarnings
) -> None:
    """It is `running` when the engine is back; `seq` goes on, and there is one collector."""
    stop_engine(machine, harness, expected_warnings)
    machine.end()
    harness.expect("running", "gone")
    before = len(harness.usages())
    machine.fake.die(machine.container, 4, event=False)
    machine.fake.begin(machine.container, event=False)
    machine.fake.start()
    machine.begin(2)
    harness.wait(lambda: len(harness.usages()) >= before + 2)
    statuses = [message.summary for message in harness.published_at("web")]
    assert statuses[:3] == ["running", "gone", "running"]
    assert set(statuses[2:]) == {"running"}
    assert harness.usages() == list(range(1, len(harness.usages()) + 1))
    assert len(harness.supervisor.collectors) == 1


def test_run_that_begins_while_the_engine_is_away(
    machine: Machine, harness: ContainersHarness, expected_warnings: ExpectWarnings
) -> None:
    """The engine may be away for the agent alone. The kernel shows that the container runs, but not since when."""
    stop_engine(machine, harness, expected_warnings)
    machine.end()
    harness.expect("running", "gone")
    machine.begin(2)
    again = harness.expect("running", "gone", "running")[-1].payload
    assert not again.keys() & {"state", "started_at", "last_usage", "exit_code"}
    machine.fake.die(machine.container, 4, event=False)
    machine.fake.begin(machine.container, event=False)
    machine.fake.start()
    harness.wait(lambda: harness.published_at("web")[-1].payload.get("state") == "running")
    assert len(harness.supervisor.collectors) == 1


HIDDEN: dict[str, Callable[[Machine], None]] = {
    "cgroup empty, process alive": lambda machine: machine.tree.change({"pids.current": "0\n"}),
    "cgroups unmounted": lambda machine: shutil.rmtree(machine.tree.cgroups),
    "processes unmounted": lambda machine: shutil.rmtree(machine.tree.proc),
    "count unreadable": lambda machine: machine.tree.change({"pids.current": "few\n"}),
    "started anew": lambda machine: machine.begin(2),
}


@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN)
def test_files_that_are_not_sure_stop_no_container(
    machine: Machine, harness: ContainersHarness, expected_warnings: ExpectWarnings, hide: Callable[[Machine], None]
) -> None:
    """Readings that fail, and an inspect that nobody answers, are not enough."""
    stop_engine(machine, harness, expected_warnings)
    before = harness.engine.counters()["retries"]
    hide(machine)
    harness.supervisor.request_inspect(machine.container.id)
    harness.wait_for_retries(before + 4)
    harness.expect("running")


@pytest.mark.parametrize("answer", [Answer(500), Answer(403), Answer(body=b"<html>"), Answer(silent=True)])
def test_engine_that_answers_is_believed(
    machine: Machine, harness: ContainersHarness, expected_warnings: ExpectWarnings, answer: Answer
) -> None:
    """Inspects that fail say nothing while the engine as a whole answers: its list has the container as running."""
    expected_warnings("web cannot be inspected")
    expected_warnings("no readings of web")
    inspects = machine.fake.script("/containers/{id}/json", answer)
    machine.end()
    harness.wait(lambda: "trouble" in harness.published_at("web")[-1].payload)
    assert inspects.used >= 2
    assert {message.summary for message in harness.published_at("web")} == {"running"}
    machine.fake.behave()
    machine.fake.die(machine.container, 4)
    harness.wait(lambda: harness.published_at("web")[-1].summary == "exited")
