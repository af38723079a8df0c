"""Stats documents that a real engine has sent, rendered within microseconds with the present times and counters."""

import json
from typing import Any

from support.fakes.container import RECORDED, FakeContainer, rfc3339

CPU_CORES = 0.02  # used by each container
NETWORK_BYTES_PER_SECOND = 1000  # received and sent by each container


class Template:
    """The stats documents of one container. Everything that never changes is rendered beforehand."""

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
        """Return the document for the time `now`, in ns since the epoch."""
        age = now - self._started
        used = int(age * CPU_CORES)
        return self._text % {
            b"read": rfc3339(now).encode(),
            b"used": used,
            b"kernel": used // 4,
            b"user": used - used // 4,
            b"system": now * self._online,
            b"bytes": age * NETWORK_BYTES_PER_SECOND // 10**9,
        }
