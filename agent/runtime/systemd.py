"""TODO."""

import socket
from collections.abc import Mapping


class SystemdNotifier:
    """Tells systemd how the service is doing (sd_notify); does nothing where systemd did not ask for it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        # Three times as often as systemd asks for; without a watchdog, as often as people look at a status.
        self.interval = int(environment.get("WATCHDOG_USEC") or 30_000_000) / 3e6
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def notify(self, *assignments: str) -> None:
        """Send assignments such as READY=1. One datagram, never blocking: systemd reads when it can."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto("\n".join(assignments).encode(), self._address)
            except OSError:  # a full queue or a vanished systemd must not stop the agent
                return
