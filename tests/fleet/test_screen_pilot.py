"""The screen of `watch`, driven by textual's pilot: which row is under the cursor, and what a key changes."""

import time
from collections.abc import Awaitable, Callable

import pytest
from support.daemons.processes import PATIENCE
from support.event_loop import run_in_thread
from textual.pilot import Pilot
from textual.widgets import Input

from agent.config import BrokerSettings
from agent.fleet.feed import Feed
from agent.fleet.selection import Selection
from agent.fleet.state import Fleet
from agent.fleet.watch_detail import Detail, Line
from agent.fleet.watch_screen import WatchApp
from agent.fleet.watch_table import Table
from agent.runtime.cancel import CancelToken
from fleet.conftest import Agents

pytestmark = [pytest.mark.broker, pytest.mark.slow]

Steps = Callable[[Pilot[None], WatchApp], Awaitable[None]]


def drive(agents: Agents, steps: Steps) -> None:
    """Run the screen with the messages of a real broker, and these steps."""

    async def run() -> None:
        feed, ending = Feed(BrokerSettings(url=(agents.url,)), agents.base, "watch"), CancelToken()
        assert feed.start(ending)
        agents.wait_for_subscriber()
        app = WatchApp(Fleet(agents.base, 600), feed, Selection(sort="cpu"), ending, "")
        try:
            async with app.run_test(size=(100, 24)) as pilot:
                await steps(pilot, app)
            app.tick()  # as by a timer that fires while the screens are taken down
        finally:
            feed.stop()

    run_in_thread(run())


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Let the screen go on until a condition is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the screen does not change"
        await pilot.pause(0.05)


def names(app: WatchApp) -> list[str]:
    """Return the names of the containers, in the order of their rows."""
    return [row.container.name for row in app.screen_stack[0].query_one(Table).rows if row.container]


def first_line(app: WatchApp) -> str:
    """Return the line at the top."""
    return app.screen_stack[0].query(Line).first().text


def send(agents: Agents, **cpu: float) -> None:
    """Send a usage of each container."""
    pi = agents.host("pi")
    agents.send(pi.status(interval=3600), *(pi.container(name) for name in cpu))
    agents.send(*(pi.usage(name, 1, cpu=value) for name, value in cpu.items()))


def test_sorts_by_the_next_column(agents: Agents) -> None:
    """`s` goes through the columns and comes back to the first one."""

    async def steps(pilot: Pilot[None], app: WatchApp) -> None:
        send(agents, web=5.0, db=80.0, cache=20.0)
        await until(pilot, lambda: names(app) == ["db", "cache", "web"])
        for _ in range(4):  # memory, network, disk, name
            await pilot.press("s")
        assert names(app) == ["cache", "db", "web"]
        await pilot.press("s")
        assert names(app) == ["db", "cache", "web"]

    drive(agents, steps)


def test_cursor_stays_on_its_row_when_the_order_changes(agents: Agents) -> None:
    """Whatever is sorted: the row under the cursor is the same container."""

    async def steps(pilot: Pilot[None], app: WatchApp) -> None:
        send(agents, web=5.0, db=80.0, cache=20.0)
        await until(pilot, lambda: names(app) == ["db", "cache", "web"])
        await pilot.press("down", "down")
        table = app.query_one(Table)
        assert table.current
        assert table.current.container
        assert table.current.container.name == "cache"
        await pilot.press("s", "s", "s", "s")
        assert names(app) == ["cache", "db", "web"]
        assert table.current.container.name == "cache"

    drive(agents, steps)


def test_filter_is_typed_and_cleared(agents: Agents) -> None:
    """`/` takes the keys that have another meaning elsewhere; Escape shows all again."""

    async def steps(pilot: Pilot[None], app: WatchApp) -> None:
        send(agents, squash=5.0, db=80.0)
        await until(pilot, lambda: len(names(app)) == 2)
        await pilot.press("slash", "s", "q")
        assert names(app) == ["squash"]
        await pilot.press("enter")
        assert isinstance(app.focused, Table)
        assert names(app) == ["squash"]
        await pilot.press("escape")
        assert app.query_one(Input).value == ""
        assert sorted(names(app)) == ["db", "squash"]

    drive(agents, steps)


def test_one_container_in_full_and_the_end(agents: Agents) -> None:
    """Enter opens a container, `q` leaves it, and `q` again ends the program."""

    async def steps(pilot: Pilot[None], app: WatchApp) -> None:
        send(agents, web=5.0)
        await until(pilot, lambda: names(app) == ["web"])
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        await pilot.press("q")
        await until(pilot, lambda: not isinstance(app.screen, Detail))
        assert app.is_running
        await pilot.press("q")
        await until(pilot, lambda: app.return_code is not None)

    drive(agents, steps)


def test_the_filter_is_told_when_its_line_is_closed(agents: Agents) -> None:
    """Else the rest would look as if it did not exist."""

    async def steps(pilot: Pilot[None], app: WatchApp) -> None:
        await until(pilot, lambda: "no host yet" in first_line(app))
        send(agents, web=5.0, db=80.0)
        await until(pilot, lambda: len(names(app)) == 2)
        assert first_line(app).startswith("1 host, 2 running · mqtt")
        await pilot.press("slash", "w", "enter")
        assert first_line(app).startswith("1 host, 1 running · only *w*, Esc: all · ")
        await pilot.press("escape")
        assert first_line(app).startswith("1 host, 2 running · mqtt")

    drive(agents, steps)


def test_a_container_that_vanishes_while_it_is_shown_in_full(agents: Agents) -> None:
    """It was renamed or forgotten: what is shown of it is old, and it does not run any more."""

    async def steps(pilot: Pilot[None], app: WatchApp) -> None:
        send(agents, web=5.0)
        await until(pilot, lambda: names(app) == ["web"])
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        assert not app.screen.query_one(Line).text.startswith("GONE")
        agents.send(agents.host("pi").cleared("web"))
        await until(pilot, lambda: app.screen.query_one(Line).text.startswith("GONE"))
        send(agents, web=6.0)
        await until(pilot, lambda: not app.screen.query_one(Line).text.startswith("GONE"))

    drive(agents, steps)


def test_nobody_is_late_because_the_broker_is_away(agents: Agents) -> None:
    """The first line tells it; what is below is old, and says nothing new."""

    async def steps(pilot: Pilot[None], app: WatchApp) -> None:
        pi = agents.host("pi")
        agents.send(pi.status(interval=0.5), pi.container("web"), pi.usage("web", 1, interval=0.5))
        await until(pilot, lambda: names(app) == ["web"])
        app._feed.subscriber.address = None
        await until(pilot, lambda: "not connected" in first_line(app))
        row = app.query_one(Table).rows[1]
        assert row.container
        container = row.container
        await until(pilot, lambda: app._fleet.state(row.host, container, time.monotonic()) == "late")
        assert app.query_one(Table).rows[1].state == "running"

    drive(agents, steps)
