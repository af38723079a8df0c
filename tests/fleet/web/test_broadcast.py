"""What viewers are sent, tick by tick."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from support.daemons.processes import PATIENCE, wait_until
from support.event_loop import run_in_thread

from agent.config import BrokerSettings
from agent.fleet.feed import Feed
from agent.fleet.web.broadcast import Broadcast
from agent.messages.topics import Message
from fleet.messages import BASE, Host


class Received(Feed):
    """A feed without a connection, in which messages have come in."""

    def __init__(self, *messages: Message) -> None:
        super().__init__(BrokerSettings(client_id="c"), BASE, "test")
        self._queue.extend([None, *((message.topic, message.payload) for message in messages)])


def broadcast() -> Broadcast:
    """Return the broadcast of a fleet with one host and two containers."""
    host = Host()
    messages = [host.status(), host.container("web"), host.container("db"), host.usage("web", 1)]
    return Broadcast(Received(*messages), BASE, 3600)


def read(event: bytes) -> tuple[str, Any]:
    """Return name and data of an event."""
    name, data, *rest = event.decode().split("\n")
    assert rest == ["", ""]
    return name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))


async def take(stream: AsyncIterator[bytes], tick: Broadcast | None = None) -> tuple[str, Any]:
    """Return the next event of a viewer who waits for it while the feed ticks."""
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    if tick is not None:
        tick.tick()
    return read(await waiting)


def test_a_viewer_that_has_missed_an_update_is_sent_the_whole_state() -> None:
    """Nothing was kept for it."""

    async def view() -> None:
        made = broadcast()
        stream = made.stream()
        assert (await take(stream))[0] == "state"
        assert (await take(stream, made))[0] == "update"
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        made.tick()
        made.tick()  # before the viewer had its turn
        name, state = read(await waiting)
        assert name == "state"
        assert {row["id"] for row in state["containers"]} == {"web", "db"}
        assert (await take(stream, made))[0] == "update"

    run_in_thread(view())


def test_the_state_has_the_last_values_of_the_cpu() -> None:
    """For the small graph in each row."""

    async def view() -> None:
        made = broadcast()
        _, state = await take(made.stream())
        assert {row["id"]: row["spark"] for row in state["containers"]} == {"web": [12.5], "db": []}

    run_in_thread(view())


def test_viewers_are_counted_until_they_leave() -> None:
    """A place is free again, however a stream ends."""

    async def view() -> None:
        made = broadcast()
        stream, other = made.stream(), made.stream()
        await take(stream)
        await take(other)
        assert made.viewers == 2
        await other.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert made.viewers == 1
        waiting = asyncio.ensure_future(anext(stream, None))
        await asyncio.sleep(0)
        made.close()
        assert await waiting is None
        assert made.viewers == 0

    run_in_thread(view())


def test_nobody_is_late_because_the_broker_is_away() -> None:
    """What is known is old then, and says nothing new."""
    host = Host()
    messages = host.status(interval=0.5), host.container("web"), host.usage("web", 1, interval=0.5)
    feeds = Received(*messages), Received(*messages)
    lost, other = (Broadcast(feed, BASE, 3600) for feed in feeds)
    for feed in feeds:
        feed.subscriber.address = "mqtt://broker"
    assert state_of_first(lost) == state_of_first(other) == "running"
    feeds[0].subscriber.address = None
    wait_until(lambda: state_of_first(other) == "late", PATIENCE, "it is never late")
    assert state_of_first(lost) == "running"
    feeds[0].subscriber.address = "mqtt://broker"
    assert state_of_first(lost) == "late"


def state_of_first(made: Broadcast) -> str:
    """Return the state of the only container."""
    [row] = orjson.loads(made.containers())["containers"]
    return str(row["state"])
