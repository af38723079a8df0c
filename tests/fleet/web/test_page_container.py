"""The page of one container in a real browser."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from agent.fleet.state import Fleet
from agent.fleet.words import what_is_unusual
from fleet.conftest import Agents
from fleet.messages import START
from fleet.web.conftest import Page

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import expect

from fleet.web.browsing import OpenTab, row

StartPage = Callable[..., Page]

STOPPED: Any = {"reason": "exited", "exit_code": 137, "oom_killed": True, "finished_at": "2026-09-21T14:13:20Z"}


def test_a_container_has_graphs_whose_values_pointer_and_keys_give(
    page: StartPage, agents: Agents, tab: OpenTab
) -> None:
    """Over the kept history, and on with each usage."""
    host = agents.host("pi")
    shown = page()
    agents.send(host.status(), host.container("web"))
    begin = time.time() - START - 100
    agents.send(*(host.usage("web", seq, cpu=10.0 * seq, at=begin + 10 * seq) for seq in range(1, 6)))
    shown.wait_for(lambda document: document["containers"] and document["containers"][0]["usage"]["seq"] == 5)
    opened = tab(shown.url)
    opened.get_by_role("link", name="web").press("Enter")
    expect(opened.locator(".graph:visible h2")).to_have_text(["CPU", "Memory", "Network", "Disk"])
    cpu = opened.get_by_role("slider", name="CPU over time")
    expect(cpu).to_have_attribute("aria-valuetext", re.compile("50.0 %$"))
    cpu.press("ArrowLeft")
    expect(cpu).to_have_attribute("aria-valuetext", re.compile("40.0 %$"))
    cpu.press("Home")
    expect(cpu).to_have_attribute("aria-valuetext", re.compile("10.0 %$"))
    expect(opened.locator(".graph").first.locator(".value")).to_have_text("10.0 %")
    agents.send(host.usage("web", 6, cpu=77, at=begin + 60))
    expect(cpu).to_have_attribute("aria-valuemax", "5")
    expect(cpu).to_have_attribute("aria-valuetext", re.compile("10.0 %$"))
    cpu.press("End")
    expect(cpu).to_have_attribute("aria-valuetext", re.compile("77.0 %$"))
    opened.get_by_role("heading", level=1).hover()
    cpu.blur()
    box = cpu.bounding_box()
    assert box is not None
    opened.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
    expect(opened.locator(".graph").first.locator(".value")).to_have_text("10.0 %")
    opened.keyboard.press("Escape")
    expect(row(opened, "web")).to_be_visible()


def test_a_stopped_container_says_how_it_ended(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """In one line. A link leads to it directly."""
    host = agents.host("pi")
    agents.send(host.status(), host.container("job", "stopped", **STOPPED))
    shown = page()
    opened = tab(f"{shown.url}#/container/pi/job")
    expect(opened.locator(".status-line")).to_have_text(
        re.compile(r"^stopped: exited with 137, out of memory, \d+ d ago$")
    )


def test_the_words_are_those_of_the_terminal(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """What is unusual has one wording."""
    pi, gone = agents.host("pi"), agents.host("gone")
    messages = [
        pi.status(interval=3600),
        pi.container("ended", "stopped", **STOPPED),
        pi.container("removed", "stopped", reason="removed"),
        pi.container("sick", health="unhealthy", trouble="no readings: the engine does not answer"),
        pi.container("paused", state="paused"),
        *(pi.usage("paused", seq, interval=3600.0) for seq in (1, 4)),
        gone.status("stopped", reason="connection lost"),
        gone.container("unknown"),
    ]
    fleet = Fleet(agents.base, 0)
    fleet.on_connect(0)
    for message in messages:
        fleet.apply(message.topic, message.payload, 0)
    shown = page()
    agents.send(*messages)
    shown.wait_for(lambda document: len(document["containers"]) == fleet.container_count)
    opened = tab(shown.url)
    for host, container in fleet.containers():
        words = what_is_unusual(container, fleet.state(host, container, 0))
        opened.goto(f"{shown.url}#/container/{host.name}/{container.level}")
        expect(opened.locator(".status-line")).to_contain_text(words)
    expect(opened.locator(".status-line")).to_have_text(re.compile("agent stopped: connection lost$"))


def test_when_an_agent_was_lost_is_not_known(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """The time of a will is that of the connect. An agent that was stopped has said when."""
    agents.send(agents.host("gone").status("stopped", reason="connection lost"))
    agents.send(agents.host("off").status("stopped", reason="exit"))
    tiles = tab(page().url).get_by_role("list", name="Hosts").get_by_role("listitem")
    expect(tiles.filter(has_text="gone").locator(".host-state")).to_have_text("agent lost")
    expect(tiles.filter(has_text="off").locator(".host-state")).to_have_text(re.compile(r"^agent stopped \d+ d ago$"))


def test_of_many_samples_the_highest_are_drawn(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """An hour of them at one second would be more than there are pixels, and would have to be drawn each second."""
    host = agents.host("pi")
    shown = page()
    begin = time.time() - START - 2000
    agents.send(host.status(interval=1))
    agents.send(*(host.usage("web", seq, cpu=90.0 if seq == 1501 else 10.0, at=begin + seq) for seq in range(1, 2001)))
    shown.wait_for(lambda document: document["containers"] and document["containers"][0]["usage"]["seq"] == 2000)
    opened = tab(f"{shown.url}#/container/pi/web")
    opened.get_by_label("Show").select_option("3600")
    line = opened.locator(".graph").first.locator(".line")
    expect(line).to_have_attribute("d", re.compile("^M"))
    points = (line.get_attribute("d") or "").removeprefix("M").split("L")
    assert 450 <= len(points) <= 600
    heights = [float(point.split()[1]) for point in points]
    assert heights.count(min(heights)) == 1
    assert min(heights) < 30 < max(heights)
    expect(opened.get_by_role("slider", name="CPU over time")).to_have_attribute("aria-valuemax", "1999")
