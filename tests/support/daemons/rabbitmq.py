"""A private RabbitMQ with its MQTT plugin, on the loopback address: it ends connections over what others refuse."""

import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from support.daemons.mosquitto import free_port
from support.daemons.processes import Daemon, find

# Debian's command changes to another user, who may not write into the tests' directories.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

CONFIG = """\
listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:{port}
mqtt.allow_anonymous = false
load_definitions = {definitions}
log.console = true
log.file = false
"""

PASSWORD = "hop"

# By user: what RabbitMQ calls permissions, regular expressions for queues and exchanges, and the topics to which the
# user may write, with `.` for `/`. MQTT's topics are one exchange, `amq.topic`; a subscription needs a queue.
USERS = {
    "anything": ({"configure": ".*", "write": ".*", "read": ".*"}, ".*"),
    "only-write": ({"configure": "", "write": r"^amq\.topic$", "read": ""}, ".*"),
    "elsewhere": ({"configure": ".*", "write": ".*", "read": ".*"}, r"^elsewhere\..*"),
}


def missing() -> str | None:
    """Return why no RabbitMQ can be started here, or None."""
    absent = [name for name in ("epmd", "setpriv") if find(name) is None]
    if not SERVER.exists():
        absent.append("rabbitmq-server")
    return f"not installed: {', '.join(absent)}" if absent else None


class _PortMapper(Daemon):
    """Erlang's port mapper. A RabbitMQ that finds none starts one, which would not end with it."""

    name = "epmd"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = free_port()

    def command(self) -> list[str]:
        """Return its command line."""
        return [find("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(self.port)]

    def ready(self) -> bool:
        """Return whether its port accepts connections."""
        return _accepts(self.port)


class RabbitMQ(Daemon):
    """RabbitMQ with the users in USERS, on its own port."""

    name = "rabbitmq"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = free_port()
        self._port_mapper = _PortMapper(directory / "epmd")
        definitions = directory / "definitions.json"
        definitions.write_text(json.dumps(_definitions()))
        config = CONFIG.format(port=self.port, definitions=definitions)
        (directory / "rabbitmq.conf").write_text(config)
        (directory / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")

    def url(self, user: str) -> str:
        """Return the address, as in `broker.url`, with a user's password."""
        return f"mqtt://{user}:{PASSWORD}@127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """Everything in its directory, and a node of its own."""
        return os.environ | {
            "HOME": str(self.directory),  # of Erlang's cookie
            "ERL_EPMD_PORT": str(self._port_mapper.port),
            "RABBITMQ_NODENAME": f"tests-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "logs"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
        }

    def command(self) -> list[str]:
        """Return the command line."""
        return [str(SERVER)]

    def ready(self) -> bool:
        """Return whether it has started: its port accepts connections some time before."""
        return "Server startup complete" in self.log

    def start(self) -> None:
        """Start the port mapper and the broker, and wait until it answers."""
        self._port_mapper.start()
        super().start()

    def close(self) -> None:
        """End both, and remove the directory."""
        super().close()
        self._port_mapper.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _definitions() -> dict[str, object]:
    return {
        "vhosts": [{"name": "/"}],
        "users": [{"name": user, "password": PASSWORD, "tags": ""} for user in USERS],
        "permissions": [{"user": user, "vhost": "/", **rights} for user, (rights, _) in USERS.items()],
        "topic_permissions": [
            {"user": user, "vhost": "/", "exchange": "amq.topic", "write": topics, "read": ".*"}
            for user, (_, topics) in USERS.items()
        ],
    }


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True
