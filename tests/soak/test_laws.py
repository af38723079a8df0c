"""The laws of the soak test: each finds what was put in on purpose, and nothing in an agent without a fault."""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until

import agent as product
from agent.runtime.timestamps import format_time
from soak.accounting import SETTLED_SECONDS, Accounting, Run
from soak.resources import OWN_THREADS, Resources, changes, held_by, leaks

SECOND = 10**9
ID = "c" * 64
CGROUP_FILES = [f"/sys/fs/cgroup/memory/docker/{ID}/memory.stat", f"/sys/fs/cgroup/pids/docker/{ID}/pids.current"]

# A module that Python imports at its start. What it does later is not the agent's doing: it leaks once.
LEAK = """
import os, socket, sys, threading
kept = []
def hook(event, arguments):
    if event == "{event}" and "{what}" in str(arguments) and not kept:
        kept.append(None)
        {leak}
sys.addaudithook(hook)
"""
LEAKS = {
    "threads without those of containers": (
        "socket.connect",
        "",
        "[threading.Thread(target=threading.Event().wait, daemon=True).start() for _ in range(20)]",
    ),
    "connections to the engine": ("socket.connect", "", "kept.extend(socket.socketpair() for _ in range(30))"),
    "other descriptors": ("socket.connect", "", "kept.extend(os.dup(0) for _ in range(2))"),
    "is open 2 times": ("open", "/sys/fs/cgroup", "kept.append(os.open(arguments[0], os.O_RDONLY))"),
}
"""By what the law has to say: the audit event at which the leak happens, a part of its arguments, and the leak."""


def holds_heartbeat(pid: int) -> bool:
    """Return whether an agent has its heartbeat file open, which it has from its first report on."""
    with contextlib.suppress(FileNotFoundError):  # a descriptor was closed in the meantime
        return any(".heartbeat" in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


class Agents:
    """Agents for the same running containers."""

    def __init__(self, start: Callable[..., RunningAgent], engine: PrivateEngine, broker: Mosquitto) -> None:
        self._start, self._engine, self._broker = start, engine, broker
        self.running = {engine.run() for _ in range(3)}

    def start(self, source: str, directory: Path | None = None) -> RunningAgent:
        """Return an agent that reads all containers by this source; it finds Python's modules in `directory` too."""
        places = [*([str(directory)] if directory else []), str(Path(product.__file__).parents[1])]
        agent = self._start(
            self._engine,
            self._broker,
            environment={"PYTHONPATH": ":".join(places)},
            agent={"host": f"{source}-{'leaky' if directory else 'sound'}"},
            engine={"source": source},
        )
        agent.wait_for_line("connected to mqtt")
        wait_until(lambda: holds_heartbeat(agent.pid), PATIENCE, "the agent holds no heartbeat file")
        expected = self.running if source == "kernel" else set()
        wait_until(
            lambda: (
                (found := held_by(agent.pid)).read_from_kernel == expected
                and found.engine_connections >= len(self.running - expected)
            ),
            PATIENCE,
            f"not every container is read by {source}",
        )
        return agent


@pytest.fixture
def agents(start_agent: Callable[..., RunningAgent], engine: PrivateEngine, broker: Mosquitto) -> Agents:
    """Return a function that starts agents on the shared engine and broker."""
    return Agents(start_agent, engine, broker)


@pytest.mark.slow
def test_agents_with_other_sources_are_no_leak(agents: Agents) -> None:
    """An agent that reads the kernel's files and one that is sent streams hold other things, and neither leaks."""
    by = {source: agents.start(source) for source in ("kernel", "stream")}
    baselines = {source: held_by(agent.pid) for source, agent in by.items()}
    for agent in by.values():
        for baseline in baselines.values():
            wait_until(lambda: not leaks(held_by(agent.pid), baseline, agents.running), PATIENCE, "leaks")  # noqa: B023
    files = {source: sum(baseline.kernel_files.values()) for source, baseline in baselines.items()}
    assert files["kernel"] > files["stream"] + len(agents.running)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEAKS)
def test_leak_put_in_on_purpose_is_found(agents: Agents, short_path: Path, kind: str) -> None:
    """A leak in an agent is found, and named, beside an agent with another source."""
    event, what, leak = LEAKS[kind]
    (short_path / "sitecustomize.py").write_text(LEAK.format(event=event, what=what, leak=leak))
    sources = ("stream", "kernel") if event == "open" else ("kernel", "stream")
    baseline = held_by(agents.start(sources[0]).pid)
    leaky = agents.start(sources[1], short_path)
    wait_until(
        lambda: [kind in text for text in leaks(held_by(leaky.pid), baseline, agents.running)] == [True],
        PATIENCE,
        f"not found: {leaks(held_by(leaky.pid), baseline, agents.running)}",
    )


def test_files_of_an_ended_container_are_a_leak() -> None:
    """Open files of a container that does not run are named by its id, and count for no other container."""
    found = Resources(OWN_THREADS, dict.fromkeys([*CGROUP_FILES, "/proc/42/net/dev"], 1), 1, 5)
    assert leaks(found, found, {ID}) == []
    assert leaks(found, found, set()) == [f"files of containers that do not run are open: {ID}"]
    process = Resources(OWN_THREADS, {"/proc/stat": 1, "/proc/42/net/dev": 1}, 1, 5)
    assert leaks(process, found, {ID}) == ["1 files of processes, at most 0"]


def test_calm_agent_may_change_its_source() -> None:
    """A container that changes from a stream to the kernel's files changes no figure; a thread more each time does."""
    kernel = Resources(OWN_THREADS, dict.fromkeys(CGROUP_FILES, 1), 3, 5)
    stream = Resources(OWN_THREADS + 1, {}, 4, 5)
    assert changes([(kernel, {ID}), (stream, {ID}), (stream, {ID})]) == []
    leaking = [(Resources(OWN_THREADS + count, {}, 4, 5), {ID}) for count in range(3)]
    assert changes(leaking) == [f"between {OWN_THREADS - 1} and {OWN_THREADS + 1} threads without those of containers"]


def counters(uptime: float, rss: int = 0, containers: int = 1, dropped: int = 0, waiting: int = 0) -> dict[str, Any]:
    """Return counters of an agent that began at 0 s since the epoch."""
    return {
        "time": format_time(int(uptime * SECOND)),
        "uptime": uptime,
        "containers": containers,
        "outbox": {"capacity": 5, "sent": 1, "dropped": dropped, "waiting": waiting},
        "process": {"rss": rss},
    }


def audit(run: Run) -> list[str]:
    """Return the violations of one run with one container, once a second."""
    accounting = Accounting()
    accounting.runs.append(run)
    return list(accounting.audit(containers=1, interval=1))


@pytest.mark.parametrize(("missing", "violations"), [(25, 0), (60, 1)])
def test_counters_that_arrive_after_the_kill_count_from_when_they_were_taken(missing: int, violations: int) -> None:
    """A frozen broker delivers the last counters long after the agent was killed, half a minute after them."""
    run = Run(began=0, killed=31 * SECOND, counters=[counters(1, waiting=5)])
    run.seen["id"] |= {1, missing + 2}
    assert len(audit(run)) == violations


@pytest.mark.parametrize(
    ("late", "violations"),
    [
        ({"rss": 11_000_000}, 0),
        ({"rss": 12_000_000}, 1),
        ({"rss": 12_000_000, "containers": 20}, 0),
        ({"rss": 14_000_000, "containers": 20}, 1),
        ({"rss": 11_200_000, "waiting": 100}, 0),
    ],
)
def test_memory_of_more_containers_is_no_leak(late: dict[str, int], violations: int) -> None:
    """Memory may grow with containers and waiting usages beyond their early maximum, and by a megabyte besides."""
    make = partial(counters, rss=10_000_000)
    run = Run(began=0, counters=[make(SETTLED_SECONDS + second) for second in range(0, 60, 10)])
    run.counters += [counters(SETTLED_SECONDS + 200 + second, **late) for second in range(10)]
    run.seen["id"] |= {1}
    assert len(audit(run)) == violations
