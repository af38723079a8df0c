"""The page in a real browser."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from support.daemons.processes import PATIENCE, wait_until

from fleet.conftest import Agents
from fleet.messages import TEXTS, Host
from fleet.web.conftest import Page

pytest.importorskip("playwright", reason="playwright is not installed")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from fleet.web.browsing import OpenTab, names, row, wait_for_names

StartPage = Callable[..., Page]

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1<script>"\'&amp;\u202e'
STOPPED: Any = {"reason": "exited", "exit_code": 137, "oom_killed": True, "finished_at": "2026-09-21T14:13:20Z"}


def send_some(agents: Agents, host: Host, count: int, seq: int = 1) -> None:
    """Publish a usage of so many containers; the first one uses most."""
    agents.send(*(host.usage(f"c{number:03}", seq, cpu=float(count - number)) for number in range(count)))


def wait_for_containers(shown: Page, count: int) -> None:
    """Wait until the server knows so many containers."""
    shown.wait_for(lambda document: len(document["containers"]) == count)


def test_the_table_shows_every_container_with_numbers_and_units(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """To a screen reader, too: it has the roles of a table, and names."""
    host = agents.host("pi")
    shown = page()
    agents.send(host.status(), host.container("web"), host.usage("web", 1), host.container("old", "stopped", **STOPPED))
    wait_for_containers(shown, 2)
    opened = tab(shown.url)
    expect(row(opened, "web").get_by_role("cell")).to_have_text(
        [
            "web",
            "registry/web:1",
            "12.5 %",
            "100 MiB / 400 MiB",
            "1.46 KiB/s12 B/s",
            "0 B/s2.00 MiB/s",
            "7",
            re.compile("up .*"),
        ]
    )
    expect(row(opened, "old")).to_contain_text("out of memory")
    expect(opened.get_by_role("columnheader", name=re.compile("^CPU"))).to_have_attribute("aria-sort", "descending")
    expect(opened.get_by_role("list", name="Hosts").get_by_role("listitem")).to_contain_text(["pi1 of 2 running"])
    expect(opened.locator("#connection")).to_have_text("live")


def test_names_are_text_and_never_markup(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """Whatever a container, an image, a host, a project or a reason is called."""
    host = agents.host(HOSTILE.replace("/", ""))
    about = {"id": "a" * 64, "name": HOSTILE, "image": HOSTILE, "project": HOSTILE, "service": HOSTILE}
    more: Any = {"container": about, "reason": HOSTILE, "trouble": HOSTILE, "health": HOSTILE, "state": HOSTILE}
    agents.send(host.status(reason=HOSTILE, version=HOSTILE), host.container("a"), host.container("b", "stopped"))
    agents.send(
        host.container("a", **more), host.usage("a", 1, container=about), host.container("b", "stopped", **more)
    )
    shown = page()
    wait_for_containers(shown, 2)
    opened = tab(shown.url)
    opened.get_by_label("Group by").select_option("project")
    expect(opened.locator("#body .link")).to_have_text([HOSTILE, HOSTILE])
    expect(opened.locator("#body .toggle")).to_have_text([HOSTILE])
    opened.locator("#body .link").first.click()
    expect(opened.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(opened.locator("#detail")).to_contain_text(HOSTILE)
    agents.send(host.status("stopped", reason=HOSTILE))
    expect(opened.locator(".status-line")).to_contain_text("is gone")
    assert opened.locator("#body img, #body script, #detail img, #detail script, #hosts img").count() == 0
    assert opened.evaluate("window.hacked") is None


def test_any_text_is_shown_as_it_is(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """However long, whatever is in it, and without moving anything beside it off the screen."""
    host = agents.host("pi")
    agents.send(host.status())
    for number, text in enumerate(TEXTS.values()):
        about = {"id": f"{number:064}", "name": text, "image": text, "project": text}
        agents.send(host.container(f"c{number}", container=about, trouble=text, health=text))
    shown = page()
    wait_for_containers(shown, len(TEXTS))
    opened = tab(shown.url)
    expect(opened.locator("#body .link")).to_have_count(len(TEXTS))
    assert sorted(opened.locator("#body .link").evaluate_all("all => all.map(one => one.textContent)")) == sorted(
        TEXTS.values()
    )
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1440
    opened.goto(f"{shown.url}#/container/pi/c{list(TEXTS).index('long')}")
    expect(opened.locator(".status-line")).to_contain_text(TEXTS["long"])
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1440


def test_only_the_rows_in_view_are_drawn(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """The others are counted, and appear when they are scrolled to."""
    host = agents.host("pi")
    shown = page()
    agents.send(host.status())
    send_some(agents, host, 200)
    wait_for_containers(shown, 200)
    opened = tab(shown.url)
    expect(row(opened, "c000")).to_be_visible()
    table = opened.get_by_role("table", name="Containers")
    expect(table).to_have_attribute("aria-rowcount", "202")  # with the head and the host
    assert opened.locator("#body .row").count() < 60
    opened.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(row(opened, "c199")).to_be_in_viewport()
    expect(row(opened, "c199")).to_have_attribute("aria-rowindex", "202")
    assert opened.locator("#body .row").count() < 60
    expect(row(opened, "c000")).to_have_count(0)


def test_rows_can_be_sorted_filtered_and_grouped(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """By keyboard. The view is remembered, but for the filter."""
    pi, nas = agents.host("pi"), agents.host("nas")
    shown = page()
    agents.send(
        pi.status(), nas.status(), pi.usage("web", 1, cpu=1), pi.usage("db", 1, cpu=3), nas.usage("nginx", 1, cpu=2)
    )
    wait_for_containers(shown, 3)
    opened = tab(shown.url)
    expect(opened.locator("#body .toggle")).to_have_text(["nas", "pi"])
    wait_for_names(opened, ["nginx", "db", "web"])
    opened.get_by_label("Group by").select_option("none")
    expect(opened.locator("#body .toggle")).to_have_count(0)
    wait_for_names(opened, ["db", "nginx", "web"])
    opened.get_by_role("columnheader", name="Container").get_by_role("button").press("Enter")
    expect(opened.get_by_role("columnheader", name="Container")).to_have_attribute("aria-sort", "ascending")
    wait_for_names(opened, ["db", "nginx", "web"])
    opened.get_by_role("columnheader", name="Container").get_by_role("button").press("Enter")
    expect(opened.get_by_role("columnheader", name="Container")).to_have_attribute("aria-sort", "descending")
    wait_for_names(opened, ["web", "nginx", "db"])
    opened.keyboard.press("/")
    opened.keyboard.type("n")
    expect(opened.locator("#count")).to_have_text("1 of 3 containers")
    wait_for_names(opened, ["nginx"])
    opened.reload()
    expect(opened.locator("#count")).to_have_text("3 containers")
    wait_for_names(opened, ["web", "nginx", "db"])
    opened.get_by_label("Group by").select_option("host")
    toggle = opened.get_by_role("button", name="pi", exact=True)
    toggle.press("Enter")
    expect(toggle).to_have_attribute("aria-expanded", "false")
    wait_for_names(opened, ["nginx"])


def test_rows_stay_where_they_are_while_somebody_points_at_them(page: StartPage, agents: Agents, tab: OpenTab) -> None:
    """And the one with the focus keeps it when they are sorted anew."""
    host = agents.host("pi")
    shown = page()
    agents.send(host.status(), host.usage("one", 1, cpu=50), host.usage("two", 1, cpu=40))
    wait_for_containers(shown, 2)
    opened = tab(shown.url)
    row(opened, "two").hover()
    agents.send(host.usage("one", 2, cpu=10), host.usage("two", 2, cpu=90))
    expect(row(opened, "two")).to_contain_text("90.0 %")
    since = opened.evaluate("performance.now()")  # rows are sorted every 3 s
    wait_until(lambda: opened.evaluate("performance.now()") > since + 5000, PATIENCE, "time stands still")
    wait_for_names(opened, ["one", "two"])
    opened.get_by_role("searchbox").hover()
    wait_until(lambda: names(opened) == ["two", "one"], PATIENCE, "the rows are not sorted")
    opened.get_by_role("link", name="one").focus()
    opened.get_by_role("columnheader", name=re.compile("^CPU")).get_by_role("button").dispatch_event("click")
    wait_until(lambda: names(opened) == ["one", "two"], PATIENCE, "the rows are not sorted")
    expect(opened.get_by_role("link", name="one")).to_be_focused()
    assert opened.locator("#body .link").all_text_contents() == ["one", "two"]  # in the order in which they are seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_keeps_people_from_using_it(
    page: StartPage, agents: Agents, tab: OpenTab, scheme: str, width: int
) -> None:
    """Axe finds no violation, neither of the table nor of a container's page: roles, names, contrast."""
    host = agents.host("pi")
    shown = page()
    machine = {"cpu_percent": 85.0, "memory_used": 99, "memory_total": 100}
    agents.send(host.status(), host.counters(machine=machine), host.container("web", health="unhealthy"))
    agents.send(host.container("old", "stopped", **STOPPED), host.container("late", trouble="no readings"))
    agents.send(host.usage("web", 1, memory={"used": 97, "limit": 100, "percent": 97.0}), host.usage("late", 1))
    agents.send(agents.host("gone").status("stopped", reason="connection lost"))
    wait_for_containers(shown, 3)
    opened = tab(shown.url, width=width, scheme=scheme)
    expect(row(opened, "web")).to_be_visible()
    axe = Axe()
    assert not axe.run(opened).response["violations"]
    row(opened, "web").get_by_role("link").click()
    expect(opened.get_by_role("slider", name="CPU over time")).to_be_visible()
    assert not axe.run(opened).response["violations"]


@pytest.mark.parametrize("width", [320, 390, 680, 768, 1024, 1280, 1920, 3840])
def test_it_fits_every_screen(page: StartPage, agents: Agents, tab: OpenTab, width: int) -> None:
    """Nothing is beside the screen, however long its name is, and nothing moves while it is looked at."""
    host = agents.host("pi")
    shown = page()
    agents.send(host.status(), host.container("x" * 200), host.usage("x" * 200, 1), host.usage("web", 1))
    wait_for_containers(shown, 2)
    opened = tab(shown.url, width=width)
    opened.evaluate(
        "window.moved = 0; new PerformanceObserver(list => list.getEntries().forEach(e => window.moved += e.value))"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    expect(row(opened, "web")).to_be_visible()
    agents.send(host.usage("web", 2, cpu=1234.5), host.usage("x" * 200, 2, cpu=0.1))
    expect(row(opened, "web")).to_contain_text("1235 %")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate("window.moved") < 0.01
    opened.locator("#body .link").filter(has_text="xxx").click()
    expect(opened.get_by_role("slider", name="CPU over time")).to_be_visible()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "shown_columns"), [(1440, [1, 2, 3, 4, 5, 6, 7, 8]), (1000, [1, 3, 4, 5, 8])])
def test_columns_that_are_left_out_are_counted(
    page: StartPage, agents: Agents, tab: OpenTab, width: int, shown_columns: list[int]
) -> None:
    """A screen reader says how many there are, and which one a cell is in."""
    host = agents.host("pi")
    shown = page()
    agents.send(host.status(), host.usage("web", 1))
    wait_for_containers(shown, 1)
    opened = tab(shown.url, width=width)
    expect(opened.get_by_role("table", name="Containers")).to_have_attribute("aria-colcount", "8")
    for cells in (row(opened, "web").get_by_role("cell"), opened.get_by_role("columnheader")):
        found = cells.evaluate_all("cells => cells.map(cell => Number(cell.ariaColIndex))")
        assert found == shown_columns
