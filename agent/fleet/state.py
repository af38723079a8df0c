"""All hosts and containers of a broker, as the messages of their agents show them. Pure: times are passed in.

    message ──► receive() ──► Fleet.apply() ──► Host ──► Container: status, usage, Sequence, History
                received.py                               container.py

A container runs if its own status and its host's status say `running`. An agent that was killed leaves `running` in the
statuses of its containers; only its will, the host's status, says that it is gone.

`now` is always in seconds, of any clock that is never set back, such as time.monotonic().
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent.fleet.container import Container
from agent.fleet.documents import Document, number, text
from agent.fleet.received import Kind, Received, receive
from agent.fleet.room import MAX_CONTAINERS, MAX_HOSTS, Room, Sizes, shorten_histories

LATE_INTERVALS = 3  # without a usage for so many of its intervals, a container is late
DEFAULT_INTERVAL_SECONDS = 10.0  # while nothing tells it: that of an agent without a configuration
FORGET_SECONDS = 300.0  # more than an agent takes to be back after its broker was restarted (`backoff.cap`)

State = Literal["running", "waiting", "late", "lost", "stopped"]
"""The state of a container. `running`: it has usages. `waiting`: it runs, and its first usage is still to come. `late`:
it had no usage for LATE_INTERVALS. `lost`: nothing is known, because its host's agent is gone. `stopped`: its status
says that there are no more usages."""


class Host:
    """A host, by its topic level.

    Attributes:
        name: its topic level.
        status: the newest status of its agent; None if there is none.
        counters: the newest counters of its agent.
        containers: by topic level.
        heard_at: when the last message of the agent itself came in.
        sizes: of its agent's payloads, as they are counted.
    """

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.status: Document | None = None
        self.counters: Document | None = None
        self.containers: dict[str, Container] = {}
        self.heard_at = now
        self.sizes: Sizes = {}

    @property
    def running(self) -> bool:
        """Whether its agent's status says that it runs."""
        return text(self.status, "status") == "running"

    @property
    def interval(self) -> float:
        """Seconds between two usages, as its agent says."""
        return number(self.status, "interval") or DEFAULT_INTERVAL_SECONDS

    def set_status(self, status: Document | None, now: float) -> bool:
        """Take the agent's status; None if it was cleared. Return False, and change nothing, if it makes no sense."""
        if status is not None and text(status, "status") not in ("running", "stopped"):
            return False
        self.status, self.heard_at = status, now
        return True


@dataclass(frozen=True, slots=True)
class Change:
    """What a message has changed.

    Attributes:
        kind: of the message.
        host: whose message it is.
        container: None for the agent's own message.
    """

    kind: Kind
    host: Host
    container: Container | None


class Fleet:
    """The hosts of a broker. Not thread-safe.

    Args:
        base: first levels of the agents' topics, `topics.base`.
        history_seconds: how far each container's history reaches back.

    Attributes:
        hosts: by topic level.
        connected_at: since when messages come in without an interruption.
        container_count: containers of all hosts.
        full: whether messages were ignored because no more is kept.
    """

    def __init__(self, base: str, history_seconds: float) -> None:
        self.hosts: dict[str, Host] = {}
        self.connected_at = float("-inf")
        self.full = False
        self._base = base
        self._history_seconds = history_seconds
        self.container_count = 0
        self._room = Room()

    def containers(self) -> Iterator[tuple[Host, Container]]:
        """Return all containers, each with its host."""
        return ((host, container) for host in self.hosts.values() for container in host.containers.values())

    def apply(self, topic: str, payload: bytes, now: float) -> Change | None:
        """Take a message. Return what it has changed; None if it has changed nothing."""
        received = receive(self._base, topic, payload)
        if received is None:
            return None
        host = self.hosts.get(received.host) or self._new_host(received, now)
        if host is None:
            return None
        size = len(payload)
        if received.level is not None:
            return self._apply_to_container(host, received.level, received, size, now)
        changed = self._apply_to_host(host, received, size, now)
        self._remove_empty(host)
        return Change(received.kind, host, None) if changed else None

    def state(self, host: Host, container: Container, now: float) -> State:
        """Return the state of a container, from its own messages and those of its host's agent."""
        if container.stopped:
            return "stopped"
        # A broker may lose an agent's status. Without a status the agent counts as running while there are usages.
        if not host.running and host.status is not None:
            return "lost"
        since = container.first_heard_at if container.usage_at is None else container.usage_at
        interval = container.interval(host.interval) or DEFAULT_INTERVAL_SECONDS
        if now - max(since, self.connected_at) > LATE_INTERVALS * interval:
            return "late" if host.running else "lost"
        if container.usage_at is None:
            return "waiting" if host.running else "lost"
        return "running"

    def on_connect(self, now: float) -> None:
        """Note a new connection: all retained messages come again, and others may have been missed."""
        self.connected_at = now
        for _, container in self.containers():
            container.sequence.interrupt()

    def expire(self, now: float) -> None:
        """Remove statuses that were cleared while there was no connection, and containers without status and usages.

        Shorten the histories if they are too long together. Call this about once a minute, or more often.
        """
        for host, container in list(self.containers()):
            interval = container.interval(host.interval) or DEFAULT_INTERVAL_SECONDS
            heard = container.heard_at + LATE_INTERVALS * interval if container.status is None else now
            if min(self._confirmed(container.heard_at, now), heard) < now - FORGET_SECONDS:
                self._remove(host, container)
        for host in list(self.hosts.values()):
            if self._confirmed(host.heard_at, now) < now - FORGET_SECONDS and host.status is not None:
                host.status = None
            self._remove_empty(host)
        shorten_histories([container.history for _, container in self.containers()])

    def _confirmed(self, heard_at: float, now: float) -> float:
        """Return the start of this connection if the retained message has not come over it since; else `now`."""
        return now if heard_at >= self.connected_at else self.connected_at

    def _new_host(self, received: Received, now: float) -> Host | None:
        if received.payload is None or len(self.hosts) >= MAX_HOSTS:
            self.full |= received.payload is not None
            return None
        self.hosts[received.host] = Host(received.host, now)
        return self.hosts[received.host]

    def _apply_to_host(self, host: Host, received: Received, size: int, now: float) -> bool:
        if not self._has_room(host.sizes, received.kind, size):
            return False
        if received.kind == "agent":
            host.counters, host.heard_at = received.payload, now
        elif not host.set_status(received.payload, now):
            return False
        self._room.keep(host.sizes, received.kind, size)
        return True

    def _apply_to_container(self, host: Host, level: str, received: Received, size: int, now: float) -> Change | None:
        kind, payload = received.kind, received.payload
        container = host.containers.get(level) or self._new_container(host, level, payload, now)
        if container is None:
            self._remove_empty(host)
            return None
        changed = False
        if self._has_room(container.sizes, kind, size):
            if kind == "usage" and payload is not None:
                changed = container.add_usage(payload, text(host.status, "started_at"), now)
            else:
                changed = container.set_status(payload, now)
        if changed:
            self._room.keep(container.sizes, kind, size)
        if container.status is None and (payload is None or container.usage_at is None):
            self._remove(host, container)
            self._remove_empty(host)
        return Change(kind, host, container) if changed else None

    def _has_room(self, sizes: Sizes, kind: Kind, size: int) -> bool:
        if size and not self._room.has_room(sizes, kind, size):
            self.full = True
            return False
        return True

    def _new_container(self, host: Host, level: str, payload: Document | None, now: float) -> Container | None:
        if payload is None or self.container_count >= MAX_CONTAINERS:
            self.full |= payload is not None
            return None
        self.container_count += 1
        host.containers[level] = Container(level, self._history_seconds, now)
        return host.containers[level]

    def _remove(self, host: Host, container: Container) -> None:
        del host.containers[container.level]
        self.container_count -= 1
        self._room.release(container.sizes)

    def _remove_empty(self, host: Host) -> None:
        if not host.containers and host.status is None:
            self.hosts.pop(host.name, None)
            self._room.release(host.sizes)
