"""A day of messages, at speed: what is kept does not grow."""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import BuiltinFunctionType, FunctionType, ModuleType

import orjson
import pytest

from agent.config import BrokerSettings
from agent.fleet.feed import Feed
from agent.fleet.state import Fleet
from agent.fleet.web.broadcast import Broadcast
from fleet.messages import BASE, START, Host

CONTAINERS = 20
INTERVAL_SECONDS = 10
HISTORY_SECONDS = 3600
DAY_SECONDS = 86_400
PI = Host()

Messages = list[tuple[str, bytes]]


def usages(at: int) -> Messages:
    """Return the usages of one interval. In each hour one of them is dropped, and the agent starts anew."""
    number = at // INTERVAL_SECONDS
    seq = number % 360 + (number % 360 > 100) + 1
    made = []
    for index in range(CONTAINERS):
        cpu = (number * 7 + index * 13) % 1000 / 10
        payload = orjson.dumps(
            {
                "seq": seq,
                "timestamp": (START + at) * 10**9,
                "time": "2026-09-21T14:13:20Z",
                "interval": 10.0,
                "cpu": {"percent": cpu},
                "memory": {"used": 1000 * number, "limit": 10**9},
                "network": {"rx_rate": number, "tx_rate": 0},
            }
        )
        made.append((f"{BASE}/pi/c{index}/usage", payload))
    return made


def statuses(at: int) -> Messages:
    """Return what comes once an hour: a new run, and a container that has come and one that has gone."""
    hour = at // 3600
    messages = [PI.status(run=hour), *(PI.container(f"c{index}") for index in range(CONTAINERS))]
    messages += [PI.container(f"passing-{hour}", "stopped"), PI.cleared(f"passing-{hour - 1}")]
    return [(message.topic, message.payload) for message in messages]


def hours() -> Iterator[list[tuple[int, Messages]]]:
    """Yield the messages of each hour of the day: moments, and what comes in then."""
    for begin in range(0, DAY_SECONDS, 3600):
        moments = range(begin, begin + 3600, INTERVAL_SECONDS)
        yield [(at, (statuses(at) if at == begin else []) + usages(at)) for at in moments]


def size_of(*roots: object) -> int:
    """Return the bytes of all that objects hold, but for code."""
    seen: set[int] = set()
    left = list(roots)
    total = 0
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType | BuiltinFunctionType):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        left += gc.get_referents(one)
    return total


def assert_has_not_grown(sizes: list[int]) -> None:
    """Check the sizes at the end of each hour.

    Histories are shortened by 64 samples at a time, of 360 an hour: after 8 hours their lengths are the same again.
    """
    assert len(sizes) == 24
    assert max(sizes[16:]) <= 1.01 * max(sizes[8:16]), sizes


def test_the_state_does_not_grow() -> None:
    """Containers that come and go, dropped usages and new runs leave nothing behind."""
    fleet = Fleet(BASE, HISTORY_SECONDS)
    fleet.on_connect(0)
    sizes = []
    for hour in hours():
        for at, messages in hour:
            for topic, payload in messages:
                fleet.apply(topic, payload, at)
            fleet.expire(at)
        sizes.append(size_of(fleet))
    assert_has_not_grown(sizes)
    assert fleet.container_count == CONTAINERS + 1
    newest = fleet.hosts["pi"].containers["c0"]
    assert newest.usage is not None
    assert newest.usage["timestamp"] == (START + DAY_SECONDS - INTERVAL_SECONDS) * 10**9
    assert newest.sequence.dropped == 24
    assert 360 <= len(newest.history.times) <= 360 + 64


class Replay(Feed):
    """A feed without a connection, in which messages come in."""

    def __init__(self) -> None:
        super().__init__(BrokerSettings(client_id="c"), BASE, "test")

    def put(self, messages: Messages) -> None:
        """Let messages come in."""
        for message in messages:
            self._queue.append(message)


def test_the_server_does_not_grow_with_a_viewer() -> None:
    """Whether the viewer takes each update, or has missed some."""
    feed = Replay()
    broadcast = Broadcast(feed, BASE, HISTORY_SECONDS)
    sizes = []

    async def view() -> None:
        stream = broadcast.stream()
        await anext(stream)
        for hour in hours():
            for number, (_, messages) in enumerate(hour):
                feed.put(messages)
                if number % 3:
                    continue
                waiting = asyncio.ensure_future(anext(stream)) if number % 10 == 0 else None
                await asyncio.sleep(0)
                broadcast.tick()
                if waiting is not None:
                    await waiting
            sizes.append(size_of(broadcast))

    with ThreadPoolExecutor(1) as thread:  # that of the tests has a loop already, where a browser is driven by it
        thread.submit(asyncio.run, view()).result()
    assert_has_not_grown(sizes)


MEMORY = """
import sys
from pathlib import Path
import agent.fleet.web.command
from agent.fleet.state import Fleet
from fleet.messages import BASE, Host

host, fleet = Host(), Fleet(BASE, 3600)
names = [f"project-{number // 20}-service-{number}" for number in range(200)]
for message in (host.status(), *map(host.container, names)):
    fleet.apply(message.topic, message.payload, 0)
for seq in range(1, 361):
    for name in names:
        message = host.usage(name, seq, pressure={"cpu_some": 1.0, "memory_some": 0.0, "io_some": 2.0})
        fleet.apply(message.topic, message.payload, 10 * seq)
assert all(len(one.history.times) == 360 for _, one in fleet.containers())
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
def test_an_hour_of_200_containers_fits_into_60_mb() -> None:
    """The whole process, with the server's libraries."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 60_000_000
