"""What viewers are sent: the whole state once, then what has changed, together for all of them.

    subscriber's thread ──► Feed, a queue
    event loop, once a second ──► tick() ──► Fleet ──► one update, the same bytes for every viewer
                                  stream() ──► a viewer: state, update, update, …

Nothing is queued for a viewer. A viewer that has missed an update is sent the whole state again. All of this runs in
the event loop, so there are no locks.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import orjson

from agent import __version__
from agent.fleet.container import Container
from agent.fleet.feed import Feed
from agent.fleet.state import Fleet, Host
from agent.fleet.web.views import View, container_view, document, history_view, host_view, spark

TICK_SECONDS = 1.0
MAX_VIEWERS = 32

log = logging.getLogger(__name__)

Key = tuple[str, str]  # host, topic level of the container


class Broadcast:
    """State of the fleet, and updates of it.

    Args:
        feed: the broker's messages.
        base: first levels of the agents' topics, `topics.base`.
        history_seconds: how far the graphs reach back.

    Attributes:
        viewers: number of streams now.
    """

    def __init__(self, feed: Feed, base: str, history_seconds: float) -> None:
        self.viewers = 0
        self._feed = feed
        self._fleet = Fleet(base, history_seconds)
        self._history_seconds = history_seconds
        self._changed: set[Key] = set()  # since the last update
        self._states: dict[Key, str] = {}  # of the last update
        self._version = 0
        self._update = b""
        self._next = asyncio.Event()
        self._closed = False
        self._was_connected = self.connected

    async def run(self) -> None:
        """Call `tick` once a second until `close`. Raises the exception that has ended the subscriber's thread."""
        while not self._closed:
            if self._feed.crash is not None:
                raise self._feed.crash
            self.tick()
            await asyncio.sleep(TICK_SECONDS)

    def tick(self) -> None:
        """Take the messages that have come in, and make the next update if there is a viewer."""
        self._take()
        self._log_connection()
        self._fleet.expire(time.monotonic())
        if self.viewers:
            self._update = _event("update", self._changes())
            self._version += 1
            self._wake()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._wake()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the events of one viewer, until `close`."""
        self.viewers += 1
        try:
            version = self._version
            yield self._state()
            while not self._closed:
                await self._next.wait()
                if self._closed:
                    return
                is_next = self._version == version + 1
                version = self._version
                yield self._update if is_next else self._state()
        finally:
            self.viewers -= 1

    def containers(self) -> bytes:
        """Return the document of `/api/containers`, JSON."""
        self._take()
        return orjson.dumps(self._head() | document(self._fleet, self._feed.moment()))

    def history(self, host: str, level: str) -> bytes | None:
        """Return the series of a container's graphs, JSON; None if there is no such container."""
        self._take()
        found = self._fleet.hosts.get(host)
        container = found.containers.get(level) if found else None
        return None if container is None else orjson.dumps(history_view(container))

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._feed.subscriber.address is not None

    def _take(self) -> None:
        now = time.monotonic()
        for message in self._feed.take():
            if message is None:
                self._fleet.on_connect(now)
                continue
            change = self._fleet.apply(*message, now)
            if change is not None and change.container is not None:
                self._changed.add((change.host.name, change.container.level))

    def _log_connection(self) -> None:
        subscriber = self._feed.subscriber
        if self.connected == self._was_connected:
            return
        self._was_connected = self.connected
        if self.connected:
            log.info("connected to %s again", subscriber.address)
        else:
            log.warning("no connection to the broker: %s", subscriber.trouble)

    def _wake(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def _head(self) -> View:
        full = self._fleet.full or self._feed.overrun
        head: View = {"time": time.time(), "connected": self.connected, "full": full}
        return head if self.connected else head | {"trouble": self._feed.subscriber.trouble}

    def _state(self) -> bytes:
        self._take()
        now = self._feed.moment()
        rows = [
            self._row(host, container, now) | {"spark": spark(container)}
            for host, container in self._fleet.containers()
        ]
        about = {"version": __version__, "history": self._history_seconds}
        return _event("state", self._head() | about | {"hosts": self._hosts(), "containers": rows})

    def _changes(self) -> View:
        """Return the rows that differ from the last update. No message is needed for it: with time a row gets late."""
        now = self._feed.moment()
        states: dict[Key, str] = {}
        rows = []
        for host, container in self._fleet.containers():
            key = (host.name, container.level)
            states[key] = self._fleet.state(host, container, now)
            if key in self._changed or self._states.get(key) != states[key]:
                rows.append(self._row(host, container, now))
        gone = [key for key in self._states if key not in states]
        self._changed.clear()
        self._states = states
        return self._head() | {"hosts": self._hosts(), "containers": rows, "gone": gone}

    def _hosts(self) -> list[View]:
        return [host_view(host) for host in self._fleet.hosts.values()]

    def _row(self, host: Host, container: Container, now: float) -> View:
        return container_view(self._fleet, host, container, now)


def _event(name: str, data: View) -> bytes:
    """Return a server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))
