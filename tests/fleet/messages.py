"""Messages as agents publish them, in any number."""

from typing import Any

import orjson

from agent.messages.topics import Message, MessageBuilder
from agent.runtime.timestamps import format_time

BASE = "containers"
START = 1_790_000_000  # Unix time of the first usage
MIB = 1 << 20

TEXTS = {
    "markup": "<script>alert(1)</script>[red]&amp;\"'",
    "direction": "\u202eevil\u2066\u200f",
    "control": "\x1b[2J\x07\x00\r\n\t\x9b",
    "long": "x" * 10_000,
    "emoji": "👩‍👩‍👧‍👦\U0001f3f3️‍🌈é́",
    "wide": "数据库" * 50,
}
"""What somebody may call a container who means no good."""


class Host:
    """Makes the messages of one host's agent."""

    def __init__(self, name: str = "pi", base: str = BASE) -> None:
        self.name = name
        self._messages = MessageBuilder(base, name, qos=1)

    def status(self, status: str = "running", run: int = 0, interval: float = 10, **more: object) -> Message:
        """Return the agent's status; each `run` is another start of it."""
        payload: Any = {
            "status": status,
            "time": _time(0),
            "version": "1.0.0",
            "started_at": _time(1000 * run),
            "interval": interval,
            **more,
        }
        return self._messages.agent_status(payload)

    def container(self, name: str, status: str = "running", **more: object) -> Message:
        """Return a container's status."""
        payload: Any = {
            "status": status,
            "time": _time(0),
            "container": container(name),
            "state": "running",
            "started_at": _time(-7200),
            **more,
        }
        return self._messages.container_status(name, payload)

    def cleared(self, name: str) -> Message:
        """Return the message that clears a container's status."""
        return self._messages.container_cleared(name)

    def usage(self, name: str, seq: int, cpu: float = 12.5, at: float | None = None, **more: object) -> Message:
        """Return a usage; `at` is its second."""
        second = 10 * seq if at is None else at
        payload: Any = {
            "time": _time(second),
            "timestamp": round((START + second) * 1e9),
            "interval": 10.0,
            "host": self.name,
            "container": container(name),
            "seq": seq,
            "cpu": {"percent": cpu, "host_percent": cpu / 4, "online": 4},
            "memory": {"used": 100 * MIB, "limit": 400 * MIB, "percent": 25.0},
            "network": {"rx_rate": 1500, "tx_rate": 12},
            "block_io": {"read_rate": 0, "write_rate": 2 * MIB},
            "pids": {"current": 7},
            **more,
        }
        return self._messages.usage(name, payload)

    def counters(self, **more: object) -> Message:
        """Return the agent's counters."""
        payload: Any = {"time": _time(0), "uptime": 60.0, "containers": 1, **more}
        return self._messages.agent_counters(payload)


def container(name: str) -> dict[str, str]:
    """Return what a message says of its container."""
    return {"id": name.encode().hex().ljust(64, "0")[:64], "name": name, "image": f"registry/{name}:1"}


def topic_and_payload(topic: str, document: object) -> tuple[str, bytes]:
    """Return any message."""
    return topic, document if isinstance(document, bytes) else orjson.dumps(document)


def _time(second: float) -> str:
    return format_time(round((START + second) * 1e9))
