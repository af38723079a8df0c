"""Whether the agent is well, and how others learn of it."""

import os
import socket
from pathlib import Path

import orjson
import pytest
from conftest import ExpectWarnings

from agent.app.agent_status import process_metrics
from agent.runtime.heartbeat import HeartbeatFile
from agent.runtime.systemd import SystemdNotifier
from agent.runtime.watchdog import Watchdog


def test_a_broken_promise_is_overdue() -> None:
    """Who promised to show up by now and did not is named; who did, or has ended, is not."""
    watchdog = Watchdog()
    watchdog.expect_within("late", within=-1)
    watchdog.expect_within("in time", within=60)
    watchdog.expect_within("ended", within=-1)
    watchdog.clear("ended")
    assert watchdog.overdue() == ["late"]
    watchdog.expect_within("late", within=60)
    assert watchdog.overdue() == []


@pytest.mark.parametrize("abstract", [True, False])
def test_systemd_gets_one_datagram(tmp_path: Path, abstract: bool) -> None:
    """Assignments arrive together, on a socket in the file system or in the abstract namespace."""
    name = f"@usage-agent-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        systemd.settimeout(10)
        SystemdNotifier({"NOTIFY_SOCKET": name}).notify("READY=1", "STATUS=größer")
        assert systemd.recv(1000) == "READY=1\nSTATUS=größer".encode()


def test_a_systemd_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    """A full queue, or a socket that has gone, costs a notification and nothing else."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        for _ in range(5000):
            SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).notify("WATCHDOG=1")
        assert systemd.recv(100) == b"WATCHDOG=1"
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).notify("WATCHDOG=1")


@pytest.fixture
def heartbeat(tmp_path: Path) -> HeartbeatFile:
    """Give a heartbeat in a directory of its own."""
    return HeartbeatFile("pi/4", {"RUNTIME_DIRECTORY": str(tmp_path), "TMPDIR": str(tmp_path / "absent")})


def test_the_heartbeat_tells_what_ails_the_agent(heartbeat: HeartbeatFile) -> None:
    """What was written is what is read."""
    heartbeat.write([])
    assert heartbeat.read() == []
    heartbeat.write(["the broker is away"])
    assert heartbeat.read() == ["the broker is away"]


def test_a_heartbeat_that_says_the_same_is_not_written_all_the_time(heartbeat: HeartbeatFile, tmp_path: Path) -> None:
    """The card of a Raspberry Pi is spared; what changes is written at once."""
    heartbeat.write([])
    (tmp_path / "usage-agent-pi_4.heartbeat").unlink()
    heartbeat.write([])
    assert heartbeat.read() != []
    heartbeat.write(["the broker is away"])
    assert heartbeat.read() == ["the broker is away"]


def test_no_heartbeat_is_not_well(heartbeat: HeartbeatFile) -> None:
    """Before the first and after the last heartbeat there is no running agent."""
    assert "no running agent" in heartbeat.read()[0]
    heartbeat.write([])
    heartbeat.remove()
    assert "no running agent" in heartbeat.read()[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"time":"now","troubles":[]}', b'{"time":1e300}'])
def test_rubbish_is_no_heartbeat(heartbeat: HeartbeatFile, tmp_path: Path, content: bytes) -> None:
    """A file that something else has written does not make an agent."""
    (tmp_path / "usage-agent-pi_4.heartbeat").write_bytes(content)
    assert "no running agent" in heartbeat.read()[0]


def test_an_old_heartbeat_is_not_well(heartbeat: HeartbeatFile, tmp_path: Path) -> None:
    """An agent that hangs or was killed stops writing; its last word is not believed for long."""
    (tmp_path / "usage-agent-pi_4.heartbeat").write_bytes(orjson.dumps({"time": 0.0, "troubles": []}))
    assert "no sign of life" in heartbeat.read()[0]


def test_a_link_in_a_public_directory_is_not_followed(
    heartbeat: HeartbeatFile, tmp_path: Path, expected_warnings: ExpectWarnings
) -> None:
    """Somebody else's link in the place of the new file does not make the agent overwrite what it points to."""
    expected_warnings("the heartbeat cannot be written .*Too many levels of symbolic links")
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / f".usage-agent-pi_4.heartbeat.{os.getpid()}").symlink_to(target)
    heartbeat.write([])
    assert target.read_text() == "precious"


def test_a_disk_that_was_full_for_a_while(
    heartbeat: HeartbeatFile, tmp_path: Path, expected_warnings: ExpectWarnings, caplog: pytest.LogCaptureFixture
) -> None:
    """That the heartbeat cannot be written is said once; as soon as it can, the agent is found again."""
    expected_warnings("the heartbeat cannot be written .*`usage-agent health` will not find this agent")
    heartbeat.write([])
    blocking = tmp_path / f".usage-agent-pi_4.heartbeat.{os.getpid()}"
    blocking.mkdir()
    heartbeat.write(["one"])
    heartbeat.write(["another"])
    assert len(caplog.records) == 1
    assert "no running agent found" in heartbeat.read()[0]
    blocking.rmdir()
    heartbeat.write([])
    assert heartbeat.read() == []


def test_the_agents_own_figures() -> None:
    """The figures are of this very process."""
    figures = process_metrics()
    assert figures["rss"] > 1_000_000
    assert figures["threads"] >= 1
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        assert process_metrics()["fds"] == figures["fds"] + 1
    finally:
        os.close(descriptor)
