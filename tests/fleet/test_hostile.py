"""Messages of somebody who may publish below the base, and means no good."""

from array import array
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import BrokerSettings
from agent.fleet.detail import detail
from agent.fleet.feed import MAX_QUEUED, MAX_QUEUED_BYTES, Feed
from agent.fleet.format import width_of
from agent.fleet.history import SERIES, History
from agent.fleet.received import MAX_NESTED, MAX_PAYLOAD_BYTES, receive
from agent.fleet.room import MAX_BYTES, MAX_CONTAINERS, MAX_SAMPLES, RESERVED_BYTES
from agent.fleet.selection import SORTS, Selection
from agent.fleet.state import Fleet
from agent.fleet.table import Layout
from agent.fleet.web.views import container_view, document, history_view, host_view
from fleet.messages import BASE, START, TEXTS, Host, topic_and_payload

PI = Host()

NUMBERS: list[object] = [0, -1, 0.5, 1e308, -1e308, 2**63, 2**64 - 1, 1e-300, True, None, "NaN", [], {}]

values = st.sampled_from([*TEXTS.values(), *NUMBERS, "running", "stopped", "paused", "9999-12-31T23:59:59Z"])
sections = st.dictionaries(st.sampled_from(["percent", "host_percent", "used", "limit", "rx_rate", "current"]), values)
fields = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("status", "reason", "time", "started_at", "finished_at", "exit_code", "oom_killed"), values),
        **dict.fromkeys(("health", "state", "trouble", "restart_count", "interval", "version", "source"), values),
        **dict.fromkeys(("cpu", "memory", "network", "pids", "machine", "pressure"), sections | values),
        "container": st.dictionaries(st.sampled_from(["id", "name", "image", "project", "service"]), values) | values,
        "engine": st.dictionaries(st.sampled_from(["version", "cpus"]), values),
    },
)


def usage(seq: int, document: dict[str, Any]) -> dict[str, Any]:
    """Return a usage with hostile fields, which is taken all the same."""
    return document | {"seq": seq, "timestamp": (START + seq) * 10**9, "time": "2026-09-21T14:13:20Z"}


def show_everything(fleet: Fleet, now: float) -> None:
    """Make all views that there are of a fleet: those of the page, and the lines of the terminal."""
    orjson.dumps(document(fleet, now))
    for host in fleet.hosts.values():
        orjson.dumps(host_view(host))
    for host, one in fleet.containers():
        orjson.dumps([container_view(fleet, host, one, now), history_view(one)])
    for sort in SORTS:
        rows = Selection(sort=sort).rows(fleet, now)
        for columns in (40, 80):
            layout = Layout(columns, rows)
            for row in rows:
                line = "".join(text for text, _ in layout.row(row, START))
                assert width_of(line) <= columns
                assert line.isprintable()
                assert all(width_of(text) <= columns for text in detail(row, columns, START))


@settings(max_examples=40)
@given(fields, fields, fields, st.sampled_from(["running", "stopped"]))
def test_whatever_a_message_says_it_can_be_shown(
    status: dict[str, Any], of_agent: dict[str, Any], used: dict[str, Any], state: str
) -> None:
    """In every view, and on lines of the right width."""
    fleet = Fleet(BASE, 3600)
    messages = [
        ("pi/status", of_agent | {"status": "running"}),
        ("pi/agent", of_agent),
        ("pi/web/usage", usage(1, used)),
        ("pi/web/usage", usage(2, used)),
        ("pi/web/status", status | {"status": state, "last_usage": used}),
    ]
    for topic, content in messages:
        fleet.apply(*topic_and_payload(f"{BASE}/{topic}", content), 0)
    assert fleet.container_count == 1
    show_everything(fleet, 1.0)


@pytest.mark.parametrize("depth", [255, 1000, 5000])
@pytest.mark.parametrize("topic", ["pi/status", "pi/agent", "pi/web/status", "pi/web/usage"])
def test_what_is_nested_too_deeply_is_passed_over(depth: int, topic: str) -> None:
    """It could be read, but not be written again: nobody would get an answer of the API any more."""
    fleet = Fleet(BASE, 3600)
    inner = b'{"a":' * depth + b"1" + b"}" * depth
    start = orjson.dumps(usage(1, {"status": "running"}))[:-1]
    assert fleet.apply(f"{BASE}/{topic}", start + b',"a":' + inner + b"}", 0) is None
    show_everything(fleet, 1.0)
    assert not fleet.hosts


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_the_deepest_document_that_is_taken_can_be_written_again(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    depth = MAX_NESTED - 1
    fleet = Fleet(BASE, 3600)
    payload = b'{"status":"running","a":' + opening * depth + b"1" + closing * depth + b"}"
    for topic in ("pi/status", "pi/web/status"):
        assert fleet.apply(f"{BASE}/{topic}", payload, 0) is not None
    show_everything(fleet, 1.0)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_numbers_that_json_does_not_have_make_no_message(number: bytes) -> None:
    assert receive(BASE, f"{BASE}/pi/agent", b'{"uptime":' + number + b"}") is None


def test_a_refused_message_leaves_nothing_behind() -> None:
    """Neither a host nor a container that nobody has."""
    fleet = Fleet(BASE, 3600)
    for topic in ("pi/status", "pi/web/status", "pi/web/usage"):
        assert fleet.apply(f"{BASE}/{topic}", b'{"status":"nonsense"}', 0) is None
    assert not fleet.hosts


def test_containers_that_anybody_invents_are_limited() -> None:
    """Those that were there before are not kept from growing a little."""
    fleet = Fleet(BASE, 3600)
    payload = PI.container("web").payload
    for number in range(MAX_CONTAINERS + 1):
        fleet.apply(f"{BASE}/host-{number % 100}/c{number}/status", payload, 0)
    assert fleet.container_count == MAX_CONTAINERS
    assert fleet.full
    used = PI.usage("c0", 1, note="x" * 1000)
    assert fleet.apply(f"{BASE}/host-0/c0/usage", used.payload, 0) is not None


def test_long_messages_share_a_limit_and_make_room_again() -> None:
    """What is larger than an agent's messages is kept as long as there is room for it."""
    fleet = Fleet(BASE, 3600)
    long = orjson.dumps({"status": "running", "note": "x" * (MAX_PAYLOAD_BYTES - 100)})
    fits = MAX_BYTES // len(long)
    for number in range(fits + 10):
        fleet.apply(f"{BASE}/pi/c{number}/status", long, 0)
    assert fleet.container_count == fits
    assert fleet.full
    assert fleet.apply(f"{BASE}/pi/c0/status", b"", 0) is not None
    assert fleet.apply(f"{BASE}/nas/c0/status", long, 0) is not None
    short = PI.container("c1").payload
    assert len(short) < RESERVED_BYTES
    for number in range(1, fits):
        assert fleet.apply(f"{BASE}/pi/c{number}/status", short, 0) is not None
    assert fleet.apply(f"{BASE}/pi/c{fits}/status", long, 0) is not None
    assert fleet.apply(f"{BASE}/pi/x/status", b"x" * (MAX_PAYLOAD_BYTES + 1), 0) is None


def fill(history: History, samples: int) -> None:
    """Put samples into a history, faster than usages would."""
    history.times.extend(array("d", [history.times[-1]]) * samples)
    for name in SERIES:
        cast("array[float]", history.series(name)).frombytes(bytes(4 * samples))


def test_all_histories_together_are_limited() -> None:
    """Whatever times the usages claim: then each container has the same share, the newest values."""
    fleet = Fleet(BASE, 86_400)
    for number in range(30):
        message = PI.usage(f"c{number}", 1)
        fleet.apply(message.topic, message.payload, 0)
    histories = [container.history for _, container in fleet.containers()]
    for history in histories[1:]:
        fill(history, MAX_SAMPLES // 29)
        history.add(START + 11, {})
    fleet.expire(1)
    assert list(histories[0].times) == [START + 10]
    for history in histories[1:]:
        assert len(history.times) == MAX_SAMPLES // 30
        assert history.times[-1] == START + 11
        assert {len(history.series(name)) for name in SERIES} == {len(history.times)}


def test_a_queue_that_nobody_empties_is_limited() -> None:
    """In messages and in bytes; what is larger than any message of an agent is not even queued."""
    feed = Feed(BrokerSettings(client_id="c"), BASE, "test")
    receive_one = feed.subscriber._on_message
    receive_one("containers/pi/status", b"x" * (MAX_PAYLOAD_BYTES + 1))
    assert list(feed.take()) == []
    for _ in range(MAX_QUEUED + 10):
        receive_one("containers/pi/status", b"")
    assert feed.overrun
    assert sum(1 for _ in feed.take()) == MAX_QUEUED
    long = b"x" * MAX_PAYLOAD_BYTES
    for _ in range(2 * MAX_QUEUED_BYTES // len(long)):
        receive_one("containers/pi/status", long)
    assert sum(1 for _ in feed.take()) <= MAX_QUEUED_BYTES // len(long) + 1
    receive_one("containers/pi/status", long)
    assert len(list(feed.take())) == 1
