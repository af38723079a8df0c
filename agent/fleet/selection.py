"""Which rows a table has, and in which order. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from agent.fleet.container import Container
from agent.fleet.documents import Document, number
from agent.fleet.state import Fleet, Host, State

Sort = Literal["cpu", "memory", "network", "disk", "name"]
SORTS: tuple[Sort, ...] = get_args(Sort)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one container, or sums over the containers of a host; None for what was not measured.

    Attributes:
        cpu: percent; 100 is one core used fully.
        memory, limit: bytes.
        rx, tx, read, write: bytes per second.
        pids: processes and threads.
    """

    cpu: float | None = None
    memory: float | None = None
    limit: float | None = None
    rx: float | None = None
    tx: float | None = None
    read: float | None = None
    write: float | None = None
    pids: float | None = None

    @classmethod
    def of(cls, usage: Document | None) -> "Numbers":
        """Return the numbers of a usage; all are None if there is no usage."""
        return cls(
            number(usage, "cpu", "percent"),
            number(usage, "memory", "used"),
            number(usage, "memory", "limit"),
            number(usage, "network", "rx_rate"),
            number(usage, "network", "tx_rate"),
            number(usage, "block_io", "read_rate"),
            number(usage, "block_io", "write_rate"),
            number(usage, "pids", "current"),
        )

    @classmethod
    def total(cls, parts: Iterable["Numbers"]) -> "Numbers":
        """Return the sums. A sum of limits would mean nothing, and is left out."""
        sums: dict[str, float] = {}
        for part in parts:
            for name in ("cpu", "memory", "rx", "tx", "read", "write", "pids"):
                if (value := getattr(part, name)) is not None:
                    sums[name] = sums.get(name, 0) + value
        return cls(**sums)


@dataclass(frozen=True, slots=True)
class Row:
    """A host, or a container of the host above it.

    Attributes:
        key: identifies the row, also after it has moved: the host's topic level, and the container's or None.
        host: the host.
        container: None in the row of a host.
        state: of the container; None in the row of a host.
        numbers: of the container, or the sums over the host's containers that run.
        running, shown: in the row of a host: how many of its containers run, and how many have a row.
    """

    key: tuple[str, str | None]
    host: Host
    container: Container | None
    state: State | None
    numbers: Numbers
    running: int = 0
    shown: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be shown.

    Attributes:
        host: glob on hosts.
        container: glob on containers.
        sort: order of the containers of each host.
        hosts_only: without the containers.
    """

    host: str = "*"
    container: str = "*"
    sort: Sort = "name"
    hosts_only: bool = False

    def has_host(self, name: str) -> bool:
        """Return whether a host is selected."""
        return fnmatchcase(name, self.host)

    def has_container(self, name: str) -> bool:
        """Return whether a container is selected, by its name."""
        return fnmatchcase(name, self.container)

    def rows(self, fleet: Fleet, now: float) -> list[Row]:
        """Return the rows: each host by name, and below it its containers. `now` as in state.py."""
        rows: list[Row] = []
        for name in sorted(fleet.hosts):
            if self.has_host(name):
                rows += self._host_rows(fleet, fleet.hosts[name], now)
        return rows

    def _host_rows(self, fleet: Fleet, host: Host, now: float) -> Iterator[Row]:
        rows = [
            Row(
                (host.name, container.level),
                host,
                container,
                state := fleet.state(host, container, now),
                Numbers() if state in ("stopped", "lost") else Numbers.of(container.usage),
            )
            for container in host.containers.values()
            if self.has_container(container.name)
        ]
        if not rows and self.container != "*":
            return
        running = sum(row.state not in ("stopped", "lost") for row in rows)
        total = Numbers.total(row.numbers for row in rows)
        yield Row((host.name, None), host, None, None, total, running, len(rows))
        if not self.hosts_only:
            yield from sorted(rows, key=self._sort_key)

    def _sort_key(self, row: Row) -> tuple[float, str, str]:
        numbers = row.numbers
        values: dict[Sort, tuple[float | None, ...]] = {
            "cpu": (numbers.cpu,),
            "memory": (numbers.memory,),
            "network": (numbers.rx, numbers.tx),
            "disk": (numbers.read, numbers.write),
            "name": (),
        }
        known = [value for value in values[self.sort] if value is not None]
        missing = 0.0 if self.sort == "name" else 1.0
        name = row.container.name if row.container else ""
        return (-sum(known) if known else missing, name, row.key[1] or "")
