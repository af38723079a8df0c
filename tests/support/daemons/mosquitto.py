"""A private MQTT broker that tests may kill, freeze and restart."""

import shutil
import socket
from pathlib import Path

from support.daemons.processes import Daemon, find

CONFIG = """\
listener {port} 127.0.0.1
persistence false
set_tcp_nodelay true
log_type all
log_dest stderr
connection_messages true
"""


def missing() -> str | None:
    """Return why no broker can be started here, or None."""
    absent = [name for name in ("mosquitto", "setpriv") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def free_port() -> int:
    """Return an unused TCP port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mosquitto(Daemon):
    """mosquitto on its own port, without persistence.

    `lines` are added to its configuration; they may override `persistence` and `allow_anonymous true`.
    """

    name = "mosquitto"

    def __init__(self, directory: Path, *lines: str, port: int | None = None) -> None:
        super().__init__(directory)
        self.port = port or free_port()
        anonymous = [] if any(line.startswith("allow_anonymous") for line in lines) else ["allow_anonymous true"]
        base = CONFIG.format(port=self.port)
        if any(line.startswith("persistence ") for line in lines):
            base = base.replace("persistence false\n", "")
        self.config = directory / "mosquitto.conf"
        user = ["user root"]  # so that it can write into the directory of its configuration
        self.config.write_text(base + "\n".join([*user, *anonymous, *lines]) + "\n")

    @property
    def url(self) -> str:
        """The address, as in `broker.url`."""
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return mosquitto's command line."""
        return [find("mosquitto") or "mosquitto", "-c", str(self.config)]

    def ready(self) -> bool:
        """Return whether the port accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End the broker and remove its directory."""
        super().close()
        shutil.rmtree(self.directory, ignore_errors=True)
