"""A fake Docker Engine: a real HTTP server on a real socket, so that the agent's real client is used.

It answers with recorded documents of real engines, increases their counters with time, and fails as a test scripts it.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.fakes.container import Document, FakeContainer
from support.fakes.events import EventFeed
from support.fakes.http import Answer, Request, Script, json_answer
from support.fakes.server import FakeServer


class FakeEngine(FakeServer):
    """An engine with fake containers. Its attributes may be changed at any time.

    Attributes:
        tick: seconds between two documents of a stream.
        api, oldest_api: the newest and the oldest API version.
        version: the engine's version.
        clock: ns that are added to the machine's clock.
        slowness: seconds before every answer.
        one_shot_waits: whether one-shot statistics wait for the next tick, as in Engine 20.10.
        containers: by id.
        events: the streams of events.
        requests: numbers by route, such as `/containers/{id}/stats`.
    """

    def __init__(self, socket: Path, containers: int = 0, tick: float = 1.0, api: str = "1.41") -> None:
        super().__init__(socket)
        self.tick = tick
        self.api = api
        self.oldest_api = "1.12"
        self.version = "20.10.24"
        self.clock = 0
        self.slowness = 0.0
        self.one_shot_waits = False
        self.containers: dict[str, FakeContainer] = {}
        self.events = EventFeed()
        self._changes = threading.Condition()
        for number in range(containers):
            self.run(f"container-{number}")

    # What a test does with containers

    def now(self) -> int:
        """Return the time of the engine's clock, ns since the epoch."""
        return time.time_ns() + self.clock

    def create(self, name: str, **attributes: Any) -> FakeContainer:
        """Create a container, which does not run yet."""
        container = FakeContainer(secrets.token_hex(32), name, **({"created": self.now()} | attributes))
        self._change(container, "create")
        return container

    def run(self, name: str, **attributes: Any) -> FakeContainer:
        """Create and start a container."""
        container = self.create(name, **attributes)
        self.begin(container)
        return container

    def begin(self, container: FakeContainer, event: bool = True) -> None:
        """Start a container; its counters begin at zero. Without the event the agent does not hear of it."""
        container.started, container.began, container.state = self.now(), self.now() - self.clock, "running"
        self._change(container, "start" if event else None)

    def die(self, container: FakeContainer, exit_code: int = 0, event: bool = True) -> None:
        """End a container's processes; without the event if the agent has to find out in another way."""
        container.finished, container.state, container.exit_code = self.now(), "exited", exit_code
        self._change(container, "die" if event else None, exitCode=str(exit_code))

    def pause(self, container: FakeContainer) -> None:
        """Pause a container; its statistics continue."""
        container.state = "paused"
        self._change(container, "pause")

    def unpause(self, container: FakeContainer) -> None:
        """Unpause a container."""
        container.state = "running"
        self._change(container, "unpause")

    def rename(self, container: FakeContainer, name: str) -> None:
        """Rename a container."""
        old, container.name = container.name, name
        self._change(container, "rename", oldName=f"/{old}")

    def destroy(self, container: FakeContainer, event: bool = True) -> None:
        """Remove a container, after ending it if it runs; its streams end."""
        if container.alive:
            self.die(container, 137, event)
        del self.containers[container.id]
        with self._changes:
            self._changes.notify_all()
        if event:
            self.events.push(self.event("destroy", container))

    def event(self, action: str, container: FakeContainer, **attributes: str) -> Document:
        """Return an event in the format of this engine's API version."""
        now = self.now()
        facts = {"image": container.image, "name": container.name, **container.labels, **attributes}
        actor = {"ID": container.id, "Attributes": facts}
        old = {"status": action, "id": container.id, "from": container.image} if self._before(1, 52) else {}
        new = {"Type": "container", "Action": action, "Actor": actor, "scope": "local"}
        return old | new | {"time": now // 10**9, "timeNano": now}

    # Answers to requests

    def respond(self, request: Request) -> Answer:
        """Answer a request as an engine would."""
        self.ending.wait(self.slowness)
        return self._route(request).with_headers({"Api-Version": self.api, "Ostype": "linux"})

    def _route(self, request: Request) -> Answer:
        if request.version and not self._supports(request.version):
            return json_answer({"message": f"client version {request.version} is not supported"}, 400)
        match request.route:
            case "/_ping":
                return Answer(body=b"OK")
            case "/version":
                return json_answer(self._version())
            case "/info":
                return json_answer(self._info())
            case "/events":
                return Answer(chunks=self.events.stream(request.query.get("since")))
            case "/containers/json":
                shown = [c for c in list(self.containers.values()) if c.alive or request.flag("all")]
                return json_answer([container.row() for container in shown])
            case "/containers/{id}/json" | "/containers/{id}/stats":
                return self._container(request)
        return json_answer({"message": "page not found"}, 404)

    def _container(self, request: Request) -> Answer:
        container = self._find(request.id)
        if container is None:
            return json_answer({"message": f"No such container: {request.id}"}, 404)
        if request.route.endswith("/json"):
            return container.inspect_answer or json_answer(container.inspect())
        if request.flag("stream", default=True):
            return Answer(chunks=self._documents(container))
        if container.alive and not (request.flag("one-shot") and not self.one_shot_waits):
            self.ending.wait(self.tick)
        return Answer(body=container.stats(self.now(), self.clock), content_type="application/json")

    def _documents(self, container: FakeContainer) -> Iterator[bytes]:
        due = time.monotonic()
        while container.id in self.containers:
            yield container.stats(self.now(), self.clock)
            due += self.tick
            with self._changes:
                self._changes.wait_for(lambda: self._over(container), max(0, due - time.monotonic()))

    def _version(self) -> Document:
        return {
            "Platform": {"Name": ""},
            "Version": self.version,
            "ApiVersion": self.api,
            "MinAPIVersion": self.oldest_api,
            "Os": "linux",
            "Arch": "amd64",
            "Components": [{"Name": "Engine", "Version": self.version, "Details": {"ApiVersion": self.api}}],
        }

    def _info(self) -> Document:
        return {
            "ID": "FAKE",
            "Name": "fake",
            "ServerVersion": self.version,
            "NCPU": 2,
            "MemTotal": 25276502016,
            "CgroupVersion": "1",
            "CgroupDriver": "cgroupfs",
            "OSType": "linux",
            "Containers": len(self.containers),
        }

    def _find(self, key: str) -> FakeContainer | None:
        for container in list(self.containers.values()):
            if key == container.name or container.id.startswith(key):
                return container
        return None

    def _over(self, container: FakeContainer) -> bool:
        return container.id not in self.containers or self.ending.is_set()

    def _change(self, container: FakeContainer, action: str | None, **attributes: str) -> None:
        self.containers[container.id] = container
        if action is not None:
            self.events.push(self.event(action, container, **attributes))

    def _before(self, major: int, minor: int) -> bool:
        return _number(self.api) < (major, minor)

    def _supports(self, version: str) -> bool:
        return _number(self.oldest_api) <= _number(version) <= _number(self.api)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


__all__ = ["Answer", "FakeContainer", "FakeEngine", "Script"]
