"""Notifications to systemd about the state of the service (sd_notify(3))."""

import socket
from collections.abc import Mapping

from agent.runtime.text import shorten

DEFAULT_WATCHDOG_USEC = 30_000_000  # without a watchdog: then `systemctl status` is at most 10 s old

# systemd ignores a datagram above 4096 bytes (NOTIFY_BUFFER_MAX), and a WATCHDOG=1 in it. A character is up to 4 bytes.
MAX_ASSIGNMENT_CHARACTERS = 900


class SystemdNotifier:
    """Sends notifications, if systemd has asked for them with NOTIFY_SOCKET.

    Attributes:
        interval: seconds between two WATCHDOG=1, a third of what systemd allows with WATCHDOG_USEC.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.interval = int(environment.get("WATCHDOG_USEC") or DEFAULT_WATCHDOG_USEC) / 3 / 1e6
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: abstract, unix(7)

    def notify(self, *assignments: str) -> None:
        """Send assignments such as READY=1 in one datagram. Never blocks; failures are ignored.

        Each line is an assignment. Line breaks are escaped, or an engine's text in STATUS= could add an assignment.
        """
        if not self._address:
            return
        lines = [shorten(assignment, MAX_ASSIGNMENT_CHARACTERS) for assignment in assignments]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto("\n".join(lines).encode(), self._address)
            except OSError:  # a full queue, or a systemd that is gone, must not stop the agent
                return
