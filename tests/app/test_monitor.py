"""What the monitor reports to systemd and in the heartbeat file."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemons.agent import HEARTBEAT_PLACES

from agent.app.monitor import NOTHING_PUBLISHED, HealthReporter
from agent.config import EngineSettings
from agent.containers.filter import ContainerFilter
from agent.containers.reconcile import RetainedStatusReconciler
from agent.containers.registry import ContainerRegistry
from agent.containers.retention import StatusRetention
from agent.containers.supervisor import Supervisor
from agent.containers.topic_names import TopicNames
from agent.containers.watcher import EngineWatcher
from agent.engine.client import EngineClient
from agent.messages.outbox import Outbox
from agent.messages.topics import Message, MessageBuilder
from agent.mqtt.stdout import StdoutPublisher
from agent.runtime.heartbeat import HeartbeatFile, read_health
from agent.runtime.systemd import SystemdNotifier
from agent.runtime.watchdog import Watchdog


class Harness:
    """A HealthReporter with parts of the agent that are not running, and a socket in systemd's place."""

    def __init__(self, directory: Path, watchdog_usec: int = 3) -> None:
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._systemd.bind(str(directory / "notify"))
        self._environment = dict.fromkeys(HEARTBEAT_PLACES, str(directory))
        heartbeat = HeartbeatFile("h", self._environment)
        self.watchdog = Watchdog()
        self.outbox = Outbox(10, "drop_newest")
        retention, messages = StatusRetention(0), MessageBuilder("containers", "h", 1)
        names, every = TopicNames("{name}"), ContainerFilter(("*",), ())
        registry = ContainerRegistry(names, every, retention, self.outbox, messages)
        supervisor = Supervisor(registry, RetainedStatusReconciler(registry, retention, messages))
        engine = EngineClient(EngineSettings(url="unix:///nowhere"))
        self.watcher = EngineWatcher(engine, supervisor, self.watchdog, 10, lambda _: None)
        systemd = SystemdNotifier({"NOTIFY_SOCKET": str(directory / "notify"), "WATCHDOG_USEC": f"{watchdog_usec}"})
        self.publisher = StdoutPublisher(self.outbox)
        self.reporter = HealthReporter(
            heartbeat, systemd, self.watchdog, self.outbox, supervisor, self.watcher, self.publisher
        )

    def report(self) -> list[str]:
        """Report once. Return the assignments that systemd has received."""
        self.reporter.report()
        received: list[str] = []
        while True:
            try:
                received += self._systemd.recv(1000).decode().split("\n")
            except BlockingIOError:
                return received

    def health(self) -> list[str]:
        """Return what `usage-agent health` prints."""
        return read_health(self._environment)

    def close(self) -> None:
        """Close systemd's socket, and remove the heartbeat file."""
        self.reporter.report_stopped()
        self._systemd.close()


@pytest.fixture
def harness(short_path: Path) -> Iterator[Harness]:
    """Return a harness in which the engine has answered."""
    made = Harness(short_path)
    made.watcher.trouble = None
    yield made
    made.close()


def test_the_agent_is_started_at_once_and_well_when_it_publishes(harness: Harness) -> None:
    """READY=1 is sent once, whether the broker is there or not; status and health say what is missing."""
    harness.publisher.trouble = "the broker is away"
    assert harness.report() == ["READY=1", "WATCHDOG=1", "STATUS=the broker is away"]
    assert harness.health() == ["the broker is away"]
    harness.publisher.trouble = None
    status = "STATUS=0 containers, 0 usages sent, 0 dropped, 0 waiting"
    assert harness.report() == ["WATCHDOG=1", status]
    assert harness.report() == ["WATCHDOG=1", status]
    assert harness.health() == []


def test_lines_of_a_trouble_are_not_taken_for_assignments(harness: Harness) -> None:
    """The text of an engine or a proxy, such as a page of HTML, must not stop the service by STOPPING=1."""
    harness.report()
    harness.publisher.trouble = "502:\n<html>\nSTOPPING=1\n" + 5000 * "x"
    fed, status = harness.report()
    assert fed == "WATCHDOG=1"
    assert status.startswith(r"STATUS=502:\n<html>\nSTOPPING=1\nxxx")
    assert len(status) < 1000, "systemd ignores a datagram above 4096 bytes, and so the WATCHDOG=1 in it"
    assert len(harness.health()) == 1


def test_the_agent_is_not_well_before_it_has_published(harness: Harness) -> None:
    """During its first attempt the publisher has no trouble to report, and nothing has reached the broker."""
    harness.outbox.add_status(Message("containers/h/status", b"{}", qos=1, retain=True))
    assert harness.report() == ["READY=1", "WATCHDOG=1", f"STATUS={NOTHING_PUBLISHED}"]
    assert harness.health() == [NOTHING_PUBLISHED]
    delivery = harness.outbox.take()
    assert delivery
    harness.outbox.ack(delivery)
    assert harness.report() == ["WATCHDOG=1", "STATUS=0 containers, 0 usages sent, 0 dropped, 0 waiting"]
    harness.outbox.add_status(Message("containers/h/status", b"{}", qos=1, retain=True))
    harness.report()
    assert harness.health() == []


def test_the_status_changes_with_the_troubles(short_path: Path) -> None:
    """`systemctl status` shows a trouble, and its end, within a second, however seldom the watchdog is fed."""
    harness = Harness(short_path, watchdog_usec=3600_000_000)
    harness.watcher.trouble = None
    harness.report()
    assert harness.report() == []
    harness.publisher.trouble = "the broker is away"
    assert harness.report() == ["WATCHDOG=1", "STATUS=the broker is away"]
    assert harness.report() == []
    harness.publisher.trouble = None
    assert harness.report()[0] == "WATCHDOG=1"
    harness.close()


def test_the_watchdog_is_not_fed_while_a_thread_is_overdue(harness: Harness) -> None:
    """Systemd then restarts the agent, and until then `usage-agent health` names the thread."""
    harness.watchdog.expect_within("events", -1)
    assert harness.report() == []
    assert harness.health() == ["events hangs"]
    harness.watchdog.clear("events")
    assert "WATCHDOG=1" in harness.report()


def test_the_heartbeat_is_removed_at_the_end(harness: Harness) -> None:
    """An agent that has ended as it was asked to is not one that was killed."""
    harness.report()
    harness.reporter.report_stopping()
    harness.reporter.report_stopped()
    assert harness.report()[0] == "STOPPING=1"
    harness.reporter.report_stopped()
    assert "no running agent" in harness.health()[0]


def test_systemd_is_told_of_a_reload_once_the_start_is_over(harness: Harness) -> None:
    """READY=1 follows also when the reload fails; before the start is over it would say that it is."""
    harness.watchdog.expect_within("events", -1)
    with harness.reporter.reloading():
        pass
    assert harness.report() == []
    harness.watchdog.clear("events")
    harness.report()
    with pytest.raises(ValueError, match="defect"), harness.reporter.reloading():
        raise ValueError("defect")
    reloading, moment, ready, *_ = harness.report()
    assert (reloading, ready) == ("RELOADING=1", "READY=1")
    assert re.fullmatch(r"MONOTONIC_USEC=[0-9]+", moment)
