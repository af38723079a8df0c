"""The agent's machine lacks something: the agent works, or logs once why it cannot."""

import re
import shlex
import time
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.fakes.container import Document
from support.fakes.engine import FakeEngine

from faults.load import wait_for_all

StartAgent = Callable[..., RunningAgent]
Agent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]

FULL = "mount -t tmpfs -o size=4k,mode=0777 full {0} && (yes >{0}/filling || true) 2>/dev/null"
EMPTY = "mount -t tmpfs -o ro,size=4k empty {0}"
READ_ONLY = (
    "mount --bind {0} {0} && mount -o remount,bind,ro {0} && mount -o remount,bind,ro / && ! touch {0}/x /x 2>&-"
)


def instead(script: str, *arguments: object) -> list[str]:
    """Return a command that runs the script in mounts of its own, and then another command in its place."""
    prepared = script.format(*(shlex.quote(str(argument)) for argument in arguments))
    return ["unshare", "--mount", "sh", "-c", f'{prepared} && exec "$@"', "sh"]


def works(running: RunningAgent, subscriber: RecordingSubscriber) -> None:
    """Check that usages arrive, and that the agent ends well."""
    subscriber.usages("web", 3)
    assert running.stop() == 0
    subscriber.agent("exit")
    assert "defect" not in running.log
    assert "Traceback" not in running.log


@pytest.fixture
def subscriber(broker: Mosquitto, record: Record, fake_engine: FakeEngine) -> RecordingSubscriber:
    """Give a recording subscriber, and a container for it."""
    fake_engine.run("web")
    return record(broker)


@pytest.mark.root
@pytest.mark.parametrize("state", [FULL, READ_ONLY], ids=["full", "read-only"])
@pytest.mark.slow
def test_full_or_read_only_disk_costs_only_the_heartbeat(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, subscriber: RecordingSubscriber, state: str
) -> None:
    """The agent needs no disk; it logs once that `usage-agent health` will not find it."""
    place = broker.directory / "place"
    place.mkdir()
    environment = {"TMPDIR": str(place), "XDG_RUNTIME_DIR": str(place), "RUNTIME_DIRECTORY": str(place)}
    running = start_agent(fake_engine, broker, environment=environment, inside=instead(state, place))
    subscriber.usages("web", 14)  # longer than from one heartbeat to the next
    works(running, subscriber)
    warnings = [line for line in running.lines if " warning " in line]
    assert len(warnings) == 1
    assert re.search("heartbeat.*(No space left|Read-only).*health", warnings[0])


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_log_on_a_full_disk_costs_only_its_lines(
    fake_engine: FakeEngine,
    broker: Mosquitto,
    start_agent: StartAgent,
    subscriber: RecordingSubscriber,
    unbuffered: str,
) -> None:
    """The agent works without its log."""
    running = start_agent(
        fake_engine,
        broker,
        environment={"PYTHONUNBUFFERED": unbuffered},
        inside=["sh", "-c", 'exec "$@" 2>/dev/full', "sh"],
    )
    works(running, subscriber)


def test_agent_works_without_a_home_or_environment(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, subscriber: RecordingSubscriber
) -> None:
    """A service has neither a home nor a user's name, and almost no environment."""
    running = start_agent(
        fake_engine, broker, inside=["env", "-u", "HOME", "-u", "USER", "-u", "LOGNAME", "-u", "PATH"]
    )
    works(running, subscriber)
    assert " warning " not in running.log


@pytest.mark.root
def test_hidden_proc_leaves_out_process_metrics(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, subscriber: RecordingSubscriber
) -> None:
    """Without /proc the agent leaves out what it does not know about itself."""
    running = start_agent(fake_engine, broker, inside=instead(EMPTY, "/proc"))
    assert "rss" not in subscriber.counters()["process"]
    works(running, subscriber)
    assert " warning " not in running.log


def test_missing_memory_cgroup_is_logged_once_for_all(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, subscriber: RecordingSubscriber
) -> None:
    """With a kernel without its memory cgroup, all else is published; the remedy is logged once."""

    def forget_memory(document: Document) -> None:
        document["memory_stats"] = {}

    for container in [*fake_engine.containers.values(), *(fake_engine.run(f"more-{n}") for n in range(5))]:
        container.change = forget_memory
    running = start_agent(fake_engine, broker)
    for usage in subscriber.usages("web", 3):
        assert "memory" not in usage
        assert usage["cpu"]["percent"] > 0
    subscriber.usages("more-4", 3)
    works(running, subscriber)
    assert len(running.wait_for_line("memory is not measured: boot the host with cgroup_enable=memory")) == 1


@pytest.mark.slow
def test_want_of_threads_is_logged_once(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """A container without a thread has usages when other containers have ended."""
    subscriber = record(broker)
    containers = {container.name: container for container in (fake_engine.run(f"one-{n}") for n in range(40))}
    # Each thread's stack takes a gigabyte of the addresses, which end after some twenty.
    running = start_agent(
        fake_engine, broker, inside=["sh", "-c", 'ulimit -s 1048576 && ulimit -v 31457280 && exec "$@"', "sh"]
    )
    for name in containers:
        subscriber.status(name, "running")
    running.wait_for_line("no more threads.*TasksMax")
    wait_for_all(subscriber, subscriber.counters(after=time.monotonic())["containers"])
    served = {message.topic.split("/")[-2] for message in subscriber.messages if message.topic.endswith("/usage")}
    for name in served:
        fake_engine.destroy(containers[name])
    left = [name for name in containers if name not in served]
    assert 0 < len(left) < len(containers)
    subscriber.usages(left[0], 2)
    assert len([line for line in running.lines if " warning " in line]) == 1
    assert running.stop() == 0
    assert "defect" not in running.log
