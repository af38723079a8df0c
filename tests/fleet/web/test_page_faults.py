"""Agent, broker and server end, hang and come back beneath an open page."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto, free_port
from support.fakes.engine import FakeEngine

from agent.fleet.web.broadcast import MAX_VIEWERS
from fleet.conftest import Agents
from fleet.web.conftest import Page, page_config

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Page as Tab
from playwright.sync_api import expect

from fleet.web.browsing import OpenTab, row

StartPage = Callable[..., Page]
KEEPALIVE = {"keepalive": 2}

pytestmark = pytest.mark.slow


@contextmanager
def kept(opened: Tab) -> Iterator[None]:
    """Set the view as somebody would, and check at the end that it is as before: the page was not loaded anew."""
    opened.get_by_label("Group by").select_option("none")
    opened.get_by_label("Filter").fill("o")
    opened.evaluate("window.loaded = 'once'")
    yield
    assert opened.evaluate("window.loaded") == "once"
    expect(opened.get_by_label("Group by")).to_have_value("none")
    expect(opened.get_by_label("Filter")).to_have_value("o")


class Stack:
    """An agent with a container that runs and one that has ended, a broker and a server, all of them real programs."""

    def __init__(
        self,
        engine: FakeEngine,
        broker: Mosquitto,
        start_agent: Callable[..., RunningAgent],
        agent: Callable[..., RunningAgent],
    ) -> None:
        self.broker = broker
        self._start: Callable[[], RunningAgent] = lambda: start_agent(engine, broker, broker=KEEPALIVE)
        web: dict[str, dict[str, Any]] = {
            "broker": KEEPALIVE | {"url": broker.url},
            "web": {"listen": f"127.0.0.1:{free_port()}"},
        }
        self._serve: Callable[[], Page] = lambda: Page(agent(web, "web"))
        job, _ = engine.run("job"), engine.run("one")
        self.agent = self._start()
        self.server = self._serve()
        self.server.wait_for(lambda document: [one["state"] for one in document["containers"]] == ["running"] * 2)
        engine.die(job, exit_code=3)

    def restart_agent(self) -> None:
        """Start an agent after the last one was killed."""
        self.agent = self._start()

    def restart_server(self) -> None:
        """Start a server after the last one was killed."""
        self.server = self._serve()


@pytest.fixture
def stack(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: Callable[..., RunningAgent],
    agent: Callable[..., RunningAgent],
) -> Stack:
    """Return everything that there is beneath a page."""
    return Stack(fake_engine, own_broker(), start_agent, agent)


def expect_all_is_well(opened: Tab) -> None:
    """Wait until the page shows what runs, what has ended, and nothing else."""
    expect(opened.locator("#connection")).to_have_text("live")
    expect(opened.get_by_role("alert")).to_be_hidden()
    expect(row(opened, "one").locator(".state")).to_have_text(re.compile("^up "))
    expect(row(opened, "job").locator(".state")).to_have_text(re.compile("^exit 3, "))
    expect(row(opened, "job")).to_have_attribute("data-mark", "bad-off")


def test_an_agent_that_hangs_or_is_killed_is_told(stack: Stack, tab: OpenTab) -> None:
    """At first its containers are late, then nobody knows of them. What has ended before stays as it is."""
    opened = tab(stack.server.url)
    with kept(opened):
        expect_all_is_well(opened)
        stack.agent.freeze()
        expect(row(opened, "one").locator(".state")).to_have_text("late")
        expect(row(opened, "one").locator(".state")).to_have_text("agent lost")
        expect(opened.get_by_role("list", name="Hosts")).to_contain_text("agent lost")
        expect(row(opened, "job").locator(".state")).to_have_text(re.compile("^exit 3, "))
        stack.agent.thaw()
        expect_all_is_well(opened)
        stack.agent.kill()
        expect(row(opened, "one").locator(".state")).to_have_text("agent lost")
        stack.restart_agent()
        expect_all_is_well(opened)


def test_a_broker_that_hangs_or_is_killed_is_told(stack: Stack, tab: OpenTab) -> None:
    """What is on the page is greyed, and it is back with the broker."""
    opened = tab(stack.server.url)
    with kept(opened):
        expect_all_is_well(opened)
        for harm, mend in ((stack.broker.freeze, stack.broker.thaw), (stack.broker.kill, stack.broker.start)):
            harm()
            expect(opened.locator("#connection")).to_have_text("broker away")
            expect(opened.get_by_role("alert")).to_contain_text("no connection to the broker")
            expect(opened.get_by_role("alert")).to_contain_text(re.compile(r"again by itself\. \S"))  # why
            expect(opened.locator("body")).to_have_class(re.compile("stale"))
            expect(row(opened, "job").locator(".state")).to_have_text(re.compile("^exit 3, "))
            mend()
            expect_all_is_well(opened)
            expect(opened.locator("body")).not_to_have_class(re.compile("stale"))


def test_a_server_that_hangs_or_is_killed_is_told(stack: Stack, tab: OpenTab) -> None:
    """What is on the page is greyed. No request waits for ever for a server that hangs."""
    opened = tab(stack.server.url, may_fail=True)
    with kept(opened):
        expect_all_is_well(opened)
        for harm, mend in (
            (stack.server.process.freeze, stack.server.process.thaw),
            (stack.server.process.kill, stack.restart_server),
        ):
            with opened.expect_event("requestfailed", lambda request: request.method == "HEAD"):
                harm()
            expect(opened.get_by_role("alert")).to_contain_text("The server does not answer")
            expect(opened.locator("#connection")).to_have_text("no connection")
            expect(opened.locator("body")).to_have_class(re.compile("stale"))
            expect(row(opened, "one")).to_be_visible()
            mend()
            expect_all_is_well(opened)


def test_a_lost_server_is_told_and_the_page_comes_back(
    agent: Callable[..., RunningAgent], agents: Agents, tab: OpenTab
) -> None:
    """By itself, with the history that the new server has."""
    host = agents.host("pi")
    agents.send(host.status(), host.container("web"))
    config = page_config(agents, listen=f"127.0.0.1:{free_port()}")
    first = Page(agent(config, "web"))
    opened = tab(f"{first.url}#/container/pi/web", may_fail=True)
    expect(opened.locator(".status-line")).to_contain_text("running")
    assert first.process.stop() == 0
    expect(opened.get_by_role("alert")).to_contain_text("The server does not answer")
    Page(agent(config, "web"))
    expect(opened.get_by_role("alert")).to_be_hidden()
    agents.send(host.usage("web", 1, cpu=42))
    cpu = opened.get_by_role("slider", name="CPU over time")
    expect(cpu).to_have_attribute("aria-valuetext", re.compile("42.0 %$"))


def test_what_the_server_refuses_is_told(page: StartPage, tab: OpenTab) -> None:
    """Too many viewers: the page says so, and tries again."""
    shown = page()
    viewers = [shown.stream() for _ in range(MAX_VIEWERS)]
    opened = tab(shown.url, may_fail=True)
    expect(opened.get_by_role("alert")).to_contain_text("as many viewers as it takes")
    for viewer in viewers:
        viewer.close()
    expect(opened.locator("#connection")).to_have_text("live")
