"""Stats documents as a real engine sent them, with times and counters of now, rendered in microseconds."""

import json
from typing import Any

from support.fakes.container import RECORDED, FakeContainer, rfc3339

CPU = 0.02  # cores that a container uses
RATE = 1000  # bytes a second that it receives, and sends


class Template:
    """The documents of one container: everything that does not move is rendered beforehand."""

    def __init__(self, container: FakeContainer) -> None:
        document: dict[str, Any] = json.loads((RECORDED / container.case / "first.json").read_text())
        document |= {"read": "@read@", "name": f"/{container.name}", "id": container.id}
        document["cpu_stats"] |= {
            "cpu_usage": {"total_usage": "@used@", "usage_in_kernelmode": "@kernel@", "usage_in_usermode": "@user@"},
            "system_cpu_usage": "@system@",
            "online_cpus": container.online,
        }
        for interface in document.get("networks", {}).values():
            interface |= {"rx_bytes": "@bytes@", "tx_bytes": "@bytes@"}
        text = json.dumps(document, separators=(",", ":")).replace("%", "%%").replace('"@read@"', '"%(read)b"')
        for name in ("used", "kernel", "user", "system", "bytes"):
            text = text.replace(f'"@{name}@"', f"%({name})d")
        self._text = text.encode() + b"\n"
        self._started = container.started
        self._online = container.online

    def at(self, now: int) -> bytes:
        """Return the document of the instant `now`, ns since the epoch."""
        age = now - self._started
        used = int(age * CPU)
        return self._text % {
            b"read": rfc3339(now).encode(),
            b"used": used,
            b"kernel": used // 4,
            b"user": used - used // 4,
            b"system": now * self._online,
            b"bytes": age * RATE // 10**9,
        }
