"""Values on the page that are not known, or not what the newest message says."""

from collections.abc import Callable

import pytest

from fleet.conftest import Agents
from fleet.web.conftest import Page

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import expect

from fleet.web.browsing import OpenTab, row

StartPage = Callable[..., Page]


def test_memory_that_is_not_known_has_no_bar(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """An empty one would say that none is used. A Raspberry Pi may not count it; a share needs a limit."""
    host = agents.host("pi")
    shown = page()
    agents.send(host.status(interval=3600), host.usage("known", 1), host.usage("uncounted", 1, memory={}))
    agents.send(host.usage("unlimited", 1, memory={"used": 1 << 20}))
    shown.wait_for(lambda document: len(document["containers"]) == 3)
    opened = tab(shown.url)
    expect(row(opened, "known").locator(".bar")).to_be_visible()
    expect(row(opened, "unlimited").locator(".memory")).to_have_text("1.00 MiB")
    for name in ("unlimited", "uncounted"):
        expect(row(opened, name).locator(".bar")).to_be_hidden()


@pytest.mark.parametrize(
    ("agents_interval", "intervals", "shown"),
    [
        (0.5, [0.5, 0.4998], "0.5 s"),
        (10, [0.5], "10 s"),
        (10, [0.5, 10.0151], "10 s"),
        (10, [0.5, 3600.4, 3599.6], "3600 s"),
    ],
)
def test_how_often_there_is_a_usage(
    page: StartPage, agents: Agents, tab: OpenTab, agents_interval: float, intervals: list[float], shown: str
) -> None:
    """Neither rounded to nothing, nor what the first usage after a start covers, which comes soon."""
    host = agents.host("pi")
    started = page()
    agents.send(host.status(interval=agents_interval))
    for seq, interval in enumerate(intervals, 1):
        agents.send(host.usage("web", seq, interval=interval, at=sum(intervals[:seq])))
    started.wait_for(lambda document: [one["usage"]["seq"] for one in document["containers"]] == [len(intervals)])
    facts = tab(f"{started.url}#/container/pi/web").locator(".facts > div")
    expect(facts.filter(has_text="Usage every").locator("dd")).to_have_text(shown)


def test_the_table_says_that_there_are_no_usages_and_not_only_that_they_are_late(
    page: StartPage, agents: Agents, tab: OpenTab
) -> None:
    """With a reason on the container's page, where it is known."""
    host = agents.host("pi")
    agents.send(host.status(interval=0.5), host.container("web", trouble="no readings"), host.container("db"))
    opened = tab(page().url)
    expect(row(opened, "db").locator(".state")).to_have_text("late")
    expect(row(opened, "web").locator(".state")).to_have_text("no usages")
