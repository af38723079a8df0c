"""Containers of the fake engine: documents of a real engine, with names, times and counters of the test's own."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from support.fakes.http import Answer

RECORDED = Path(__file__).parents[2] / "recorded"
NEVER = "0001-01-01T00:00:00Z"

Document = dict[str, Any]


@cache
def _recorded(case: str, name: str) -> str:
    return (RECORDED / case / name).read_text()


def rfc3339(ns: int) -> str:
    """Return nanoseconds since the epoch as Docker writes them."""
    seconds, rest = divmod(ns, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


@dataclass
class FakeContainer:
    """A container. Its attributes may be changed at any time; FakeEngine sends the events.

    Attributes:
        case: the directory in tests/recorded with its documents.
        cpu: cores in use; a usage has `cpu * 100` percent.
        rx, tx: bytes per second.
        started: when it was started by the engine's clock, which a test may set, ns.
        began: the same by a clock that is never set; counters grow from here.
        change: alters each statistics document before it is sent.
        raw: sent instead of a statistics document.
        inspect_answer: the answer to an inspect request, instead of the document.
    """

    id: str
    name: str
    case: str = "docker-20.10-cgroup-v1-network-busy"
    image: str = "busybox"
    labels: dict[str, str] = field(default_factory=dict)
    created: int = field(default_factory=time.time_ns)
    state: str = "created"
    cpu: float = 0.5
    rx: int = 1000
    tx: int = 2000
    online: int = 2
    exit_code: int = 0
    oom_killed: bool = False
    health: str | None = None
    restart_count: int = 0
    started: int = 0
    began: int = 0
    finished: int = 0
    change: Callable[[Document], None] | None = None
    raw: bytes | None = None
    inspect_answer: Answer | None = None

    @property
    def alive(self) -> bool:
        """Whether the container has processes, paused or not."""
        return self.state in ("running", "paused")

    def row(self) -> Document:
        """Return the row in GET /containers/json."""
        return {
            "Id": self.id,
            "Names": [f"/{self.name}"],
            "Image": self.image,
            "ImageID": "sha256:" + "0" * 64,
            "Command": "sh",
            "Created": self.created // 10**9,
            "Ports": [],
            "Labels": self.labels,
            "State": self.state,
            "Status": "Up 1 second" if self.alive else f"Exited ({self.exit_code}) 1 second ago",
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {"Networks": {}},
            "Mounts": [],
        }

    def inspect(self) -> Document:
        """Return the document of GET /containers/{id}/json."""
        document: Document = json.loads(_recorded(self.case, "inspect.json"))
        document |= {"Id": self.id, "Name": f"/{self.name}", "Created": rfc3339(self.created)}
        document["RestartCount"] = self.restart_count
        document["Config"] |= {"Image": self.image, "Labels": self.labels}
        document["State"] |= {
            "Status": self.state,
            "Running": self.alive or self.state == "restarting",
            "Paused": self.state == "paused",
            "Restarting": self.state == "restarting",
            "OOMKilled": self.oom_killed,
            "Pid": 4242 if self.alive else 0,
            "ExitCode": 0 if self.alive else self.exit_code,
            "StartedAt": rfc3339(self.started) if self.started else NEVER,
            "FinishedAt": rfc3339(self.finished) if self.finished else NEVER,
        }
        if self.health is not None:
            document["State"]["Health"] = {"Status": self.health, "FailingStreak": 0, "Log": []}
        return document

    def stats(self, now: int, set_by: int = 0) -> bytes:
        """Return a statistics document, one of zeros if the container does not run.

        Args:
            now: by the engine's clock, ns.
            set_by: ns by which that clock was set; counters do not follow it.
        """
        if self.raw is not None:
            return self.raw
        document = self._measured(now, now - set_by) if self.alive else self._zero()
        if self.change is not None:
            self.change(document)
        return json.dumps(document).encode() + b"\n"

    def _measured(self, now: int, steady: int) -> Document:
        document: Document = json.loads(_recorded(self.case, "first.json"))
        age = max(0, steady - self.began)
        used = int(age * self.cpu)
        document |= {"read": rfc3339(now), "name": f"/{self.name}", "id": self.id}
        document["cpu_stats"] |= {
            "cpu_usage": {"total_usage": used, "usage_in_kernelmode": used // 4, "usage_in_usermode": used - used // 4},
            "system_cpu_usage": steady * self.online,
            "online_cpus": self.online,
        }
        for interface in document.get("networks", {}).values():
            interface |= {"rx_bytes": age * self.rx // 10**9, "tx_bytes": age * self.tx // 10**9}
        return document

    def _zero(self) -> Document:
        document = copy.deepcopy(ZERO)
        return document | {"name": f"/{self.name}", "id": self.id}


_NO_CPU: Document = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}

ZERO: Document = {
    "read": NEVER,
    "preread": NEVER,
    "pids_stats": {},
    "blkio_stats": {"io_service_bytes_recursive": None, "io_serviced_recursive": None},
    "num_procs": 0,
    "storage_stats": {},
    "cpu_stats": _NO_CPU,
    "precpu_stats": _NO_CPU,
    "memory_stats": {},
}
"""The document of an engine for a container that does not run, sent with status 200."""
