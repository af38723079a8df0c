"""Notifications to systemd."""

import os
import socket
from pathlib import Path

import pytest

from agent.runtime.systemd import SystemdNotifier


@pytest.mark.parametrize("abstract", [True, False])
def test_assignments_arrive_in_one_datagram(tmp_path: Path, abstract: bool) -> None:
    """The socket may be in the file system or in the abstract namespace."""
    name = f"@usage-agent-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        systemd.settimeout(10)
        SystemdNotifier({"NOTIFY_SOCKET": name}).notify("READY=1", "STATUS=größer")
        assert systemd.recv(1000) == "READY=1\nSTATUS=größer".encode()


def test_notifying_never_blocks_or_fails(tmp_path: Path) -> None:
    """A full queue, or a socket that has gone, costs a notification and nothing else."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        for _ in range(5000):
            SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).notify("WATCHDOG=1")
        assert systemd.recv(100) == b"WATCHDOG=1"
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).notify("WATCHDOG=1")


def test_the_watchdog_is_fed_three_times_as_often_as_asked_for() -> None:
    """Two notifications may get lost; without a watchdog the status is renewed every 10 s."""
    assert SystemdNotifier({"WATCHDOG_USEC": "60000000"}).interval == 20
    assert SystemdNotifier({}).interval == 10
