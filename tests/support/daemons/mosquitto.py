"""An MQTT broker of our own, which tests may kill, freeze and restart."""

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
    """Say what keeps us from starting a broker here, if anything does."""
    absent = [name for name in ("mosquitto", "setpriv") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mosquitto(Daemon):
    """mosquitto on a port of its own; forgets everything when it stops, unless told otherwise.

    `lines` are added to its configuration. `allow_anonymous true` holds unless they say otherwise.
    """

    name = "mosquitto"

    def __init__(self, directory: Path, *lines: str, port: int | None = None) -> None:
        super().__init__(directory)
        self.port = port or free_port()
        open_door = [] if any(line.startswith("allow_anonymous") for line in lines) else ["allow_anonymous true"]
        own = CONFIG.format(port=self.port)
        if any(line.startswith("persistence ") for line in lines):
            own = own.replace("persistence false\n", "")
        self.config = directory / "mosquitto.conf"
        user = ["user root"]  # so that it can write beside its configuration
        self.config.write_text(own + "\n".join([*user, *open_door, *lines]) + "\n")

    @property
    def url(self) -> str:
        """The address, as in `broker.url`."""
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return mosquitto's command line."""
        return [find("mosquitto") or "mosquitto", "-c", str(self.config)]

    def ready(self) -> bool:
        """Say whether somebody listens at the port."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End the broker and remove what it wrote."""
        super().close()
        shutil.rmtree(self.directory, ignore_errors=True)
