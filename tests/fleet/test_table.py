"""Lines of the table: whatever is in them, they fit."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fleet import format as fmt
from agent.fleet.detail import detail
from agent.fleet.selection import SORTS, Row, Selection
from agent.fleet.state import Fleet
from agent.fleet.table import Layout, Segment
from fleet.messages import BASE, START, Host, container

HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def rows_of(name: str, **usage: Any) -> list[Row]:
    """Return the rows of a host with a container that runs, one that is late, and one that has stopped."""
    pi, fleet = Host(), Fleet(BASE, 600)
    fleet.on_connect(0)
    named = {**container("x"), "name": name, "image": name}
    messages = [pi.status(), pi.container("runs", container=named, trouble=name, health=name)]
    messages += [pi.usage("runs", seq, container=named, **usage) for seq in (1, 4)]
    messages += [pi.container("late", container=named), pi.container("ended", "stopped", container=named, reason=name)]
    for message in messages:
        fleet.apply(message.topic, message.payload, 0)
    return Selection().rows(fleet, 1)


def plain(segments: list[Segment]) -> str:
    return "".join(text for text, _ in segments)


@given(names, st.integers(20, 200), st.integers(0, 2**62), st.floats(0, 1e18))
def test_each_line_fits_and_is_harmless(name: str, width: int, memory: int, cpu: float) -> None:
    """No name and no number makes a line longer than the table is wide, or ends it, or turns it around."""
    rows = rows_of(name, cpu=cpu, memory={"used": memory, "limit": 1}, network={"rx_rate": memory})
    layout = Layout(width, rows)
    for line in [plain(layout.header()), *(plain(layout.row(row, START)) for row in rows)]:
        assert fmt.width_of(line) <= width
        assert not HARMFUL.search(line)
    for row in rows:
        for line in detail(row, width, START):
            assert fmt.width_of(line) <= width
            assert not HARMFUL.search(line)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (99.9 * 1024, "99.9 KiB"),
        (100 << 20, "100 MiB"),
        (1023 << 20, "1.0 GiB"),
        (2.0**63, "8.0 EiB"),
    ],
)
def test_bytes_have_a_unit_and_at_most_eight_characters(value: float, text: str) -> None:
    assert fmt.byte_count(value) == text


@given(st.floats(0, 2.0**63))
def test_rates_have_at_most_four_characters(value: float) -> None:
    assert len(fmt.rate(value)) <= 4
    assert len(fmt.percent(value)) <= 7
    assert len(fmt.count(value)) <= 4
    assert len(fmt.duration(value)) <= 5


def test_a_sparkline_is_as_high_as_its_values() -> None:
    """A small value does not look like a large one because there is none beside it."""
    assert fmt.sparkline([0, 50, 100], 3, 10) == "▁▅█"
    assert fmt.sparkline([1, 1], 3, 100) == " ▁▁"
    assert fmt.sparkline([math.nan, 100], 2, 10) == " █"


def test_a_bar_is_as_long_as_the_share() -> None:
    assert [fmt.bar(share, 4) for share in (0, 0.001, 0.5, 1, 7)] == ["    ", "╸   ", "━━  ", "━━━━", "━━━━"]


@pytest.mark.parametrize("sort", SORTS)
def test_each_order(sort: str) -> None:
    """The largest first, those without numbers last, by name among equals."""
    fleet = Fleet(BASE, 600)
    pi = Host()
    messages = [pi.status(), pi.container("c", "stopped")]
    for name, size in (("a", 1), ("d", 4), ("b", 2)):
        io = {"read_rate": size, "write_rate": size, "rx_rate": size, "tx_rate": size}
        sizes: Any = {"memory": {"used": size}, "network": io, "block_io": io}
        messages += [pi.container(name), pi.usage(name, 1, cpu=float(size), **sizes)]
    for message in messages:
        fleet.apply(message.topic, message.payload, 0)
    rows = Selection(sort=sort).rows(fleet, 1)  # type: ignore[arg-type]  # of the parametrisation
    order = [row.container.name for row in rows if row.container]
    assert order == (["a", "b", "c", "d"] if sort == "name" else ["d", "b", "a", "c"])


def test_why_there_are_no_numbers_has_their_place() -> None:
    """The line is empty, and this is all there is to be said."""
    trouble = "no readings: the engine does not answer a request for statistics"
    fleet = Fleet(BASE, 600)
    for message in (Host().status(), Host().container("web", trouble=trouble, health="unhealthy")):
        fleet.apply(message.topic, message.payload, 0)
    rows = Selection().rows(fleet, 1)
    line = plain(Layout(100, rows).row(rows[-1], START)).rstrip()
    assert line == f"· web        {trouble}, unhealthy"[:100]


@pytest.mark.parametrize(
    ("reason", "words"),
    [("connection lost", "agent stopped: connection lost"), ("exit", "agent stopped: exit, 3d ago")],
)
def test_when_an_agent_was_lost_is_not_known(reason: str, words: str) -> None:
    """The time of a will is that of the connect: an agent that was killed now may have been connected for days."""
    fleet, ended = Fleet(BASE, 600), Host().status("stopped", reason=reason)
    fleet.apply(ended.topic, ended.payload, 0)
    (row,) = Selection().rows(fleet, 1)
    days = START + 3 * 86_400
    assert plain(Layout(80, [row]).row(row, days)).split(maxsplit=1)[1].rstrip() == words
    assert f"agent       {words}" in detail(row, 80, days)


@pytest.mark.parametrize("width", [40, 80, 132])
def test_no_column_without_a_room_for_names(width: int) -> None:
    """In 40 columns a name is still one; in 80 there is everything but limits and health."""
    rows = rows_of("home-assistant")
    header = plain(Layout(width, rows).header())
    assert "home-assistant" in plain(Layout(width, rows).row(rows[-1], START))
    assert ("UP" in header) == (width >= 80)
    assert ("LIMIT" in header) == (width >= 132)
