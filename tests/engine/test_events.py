"""Events: none is lost between two subscriptions, none comes twice, and silence is told from death."""

import itertools
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest
from support.asking import Reader, connected
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import wait_until
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer

from agent.engine.errors import EngineUnreachableError, InvalidResponseError
from agent.engine.protocol import Event
from agent.runtime.cancel import CancelToken

SHORT = 1.0  # seconds of silence after which an engine is asked again


def subscribed(url: str, cancel: CancelToken, since: int | None = None, timeout: float = 10.0) -> Reader[Event | None]:
    """Return a reader whose subscription stands."""
    reader = Reader(connected(url, timeout).events(since, cancel))
    assert reader.next() is None
    return reader


def actions(reader: Reader[Event | None], count: int) -> list[str]:
    """Return the actions of the next events, heartbeats left out."""
    found: list[str] = []
    while len(found) < count:
        if event := reader.next():
            found.append(event.action)
    return found


def until(reader: Reader[Event | None], container: str, action: str) -> list[Event]:
    """Return the events of a container up to this one; those of others and heartbeats are left out."""
    found: list[Event] = []
    while not found or found[-1].action != action:
        event = reader.next()
        if event and event.id == container:
            found.append(event)
    return found


@pytest.fixture
def cancel() -> Iterator[CancelToken]:
    """Give what ends all reading when the test does."""
    cancel = CancelToken()
    yield cancel
    cancel.set()


@pytest.mark.parametrize("api", ["1.41", "1.52"])
def test_what_happens_is_told(fake_engine: FakeEngine, cancel: CancelToken, api: str) -> None:
    """Events of every version say when, what, of whom and with which particulars."""
    fake_engine.api = api
    reader = subscribed(fake_engine.url, cancel)
    container = fake_engine.run("web", labels={"com.example": "yes"})
    fake_engine.die(container, exit_code=3)
    assert actions(reader, 2) == ["create", "start"]
    event = reader.next()
    assert event is not None
    assert (event.action, event.id, event.name) == ("die", container.id, "web")
    assert event.attributes["exitCode"] == "3"
    assert event.attributes["com.example"] == "yes"
    assert event.time == container.finished or event.time > container.finished


def test_silence_is_answered_with_a_new_subscription(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """After each silence the engine is asked again, and what is asked again is not told again."""
    reader = subscribed(fake_engine.url, cancel, timeout=SHORT)
    fake_engine.run("web")
    assert actions(reader, 2) == ["create", "start"]
    assert reader.next() is None
    assert reader.next() is None
    assert fake_engine.requests["/events"] >= 3
    fake_engine.run("later")
    assert actions(reader, 2) == ["create", "start"]
    cancel.set()
    assert reader.end() is None


def test_drip_is_silence(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A subscription from which only the beginning of a chunk comes, without an end, is silent: a new one is made."""

    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nDate: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % formatdate(usegmt=True).encode()
        while not cancel.wait(0.05):
            yield b"0"

    fake_engine.script("/events", Answer(raw=drip()), times=1)
    reader = subscribed(fake_engine.url, cancel, timeout=SHORT)
    fake_engine.run("web")
    assert actions(reader, 1) != []


def test_clock_that_was_set_back(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """After an event from the future the next subscription begins where the engine's clock is now, and misses none."""
    container = fake_engine.run("web")
    reader = subscribed(fake_engine.url, cancel, since=container.started, timeout=SHORT)
    assert actions(reader, 1) == ["start"]
    fake_engine.clock = 10**12
    fake_engine.pause(container)
    fake_engine.clock = 0
    fake_engine.unpause(container)
    assert actions(reader, 2) == ["pause", "unpause"]
    fake_engine.script("/events", Answer(chunks=[], delay=0.5), times=1)  # the subscription that is lost
    assert isinstance(reader.end(), EngineUnreachableError)
    fake_engine.pause(container)
    assert reader.next() is None


def test_nothing_is_lost_between_subscriptions(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """What happens after a subscription has gone dumb and before the next is caught up with, even the very first."""

    def dumb() -> Iterator[bytes]:
        asked.set()
        while not cancel.wait(0.05):
            yield b""

    asked = threading.Event()
    fake_engine.script("/events", Answer(chunks=dumb()), times=1)
    reader = subscribed(fake_engine.url, cancel, timeout=SHORT)
    assert asked.wait(20)
    fake_engine.run("meanwhile")
    assert actions(reader, 2) == ["create", "start"]


def test_goes_on_where_it_was(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """`since` includes its own instant: what happened at the same nanosecond is not lost, it comes again."""
    first = subscribed(fake_engine.url, cancel)
    fake_engine.run("web")
    events = [first.next(), first.next()]
    assert events[-1] is not None
    again = subscribed(fake_engine.url, cancel, since=events[-1].time)
    assert again.next() == events[-1]


def test_two_at_one_instant(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """Two events may carry the same time; both are told, and both once."""
    reader = subscribed(fake_engine.url, cancel, timeout=SHORT)
    container = fake_engine.run("web")
    assert actions(reader, 2) == ["create", "start"]
    twin = fake_engine.event("die", container)
    fake_engine.events.push(twin)
    fake_engine.events.push(twin | {"Action": "stop"})
    assert actions(reader, 2) == ["die", "stop"]
    assert reader.next() is None
    fake_engine.begin(container)
    assert actions(reader, 1) == ["start"]


def test_long_memory_is_bounded(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A thousand events, each once and in order, whatever is remembered of them."""
    reader = subscribed(fake_engine.url, cancel)
    container = fake_engine.run("web")
    assert actions(reader, 2) == ["create", "start"]
    begun = fake_engine.now()
    for number in range(1000):
        fake_engine.events.push(fake_engine.event(f"exec_start: {number}", container) | {"timeNano": begun + number})
    told = [event.detail for event in itertools.islice(iter(reader.next, "never"), 1000) if event]
    assert told == [str(number) for number in range(1000)]


@pytest.mark.parametrize("line", [b"<html>\n", b"\xff\n", b"[]\n", b'{"Type":\n'])
def test_rubbish_among_events(fake_engine: FakeEngine, cancel: CancelToken, line: bytes) -> None:
    """A line that is no document: nobody knows what was lost, so the subscription ends with an error."""
    reader = subscribed(fake_engine.url, cancel)
    fake_engine.events.wait_for_listeners()
    fake_engine.events.push(line)
    assert isinstance(reader.end(), InvalidResponseError)


def test_unknown_event_is_skipped(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """An event of a shape that is not known is counted, one of another kind is none of our business; others go on."""
    engine = connected(fake_engine.url)
    reader = Reader(engine.events(None, cancel))
    assert reader.next() is None
    fake_engine.events.wait_for_listeners()
    fake_engine.events.push(b'{"Type":"network","Action":"connect","Actor":{"ID":"n"},"timeNano":1}\n')
    fake_engine.events.push(b'{"Type":"container","Action":{"new":"shape"},"timeNano":1}\n')
    fake_engine.run("web")
    assert actions(reader, 2) == ["create", "start"]
    assert engine.counters()["errors"] == 1


@pytest.mark.parametrize(
    "leave",
    [lambda fake: fake.events.end(), lambda fake: fake.stop()],
    ids=["in peace", "by force"],
)
def test_engine_that_leaves(fake_engine: FakeEngine, cancel: CancelToken, leave: Callable[[FakeEngine], None]) -> None:
    """An engine that ends its events, politely or not, has gone: that is not the end of events."""
    reader = subscribed(fake_engine.url, cancel)
    fake_engine.events.wait_for_listeners()
    leave(fake_engine)
    assert isinstance(reader.end(), EngineUnreachableError)


def test_engine_that_freezes(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A silence that a new subscription does not end is no silence but a frozen engine."""
    reader = subscribed(fake_engine.url, cancel, timeout=SHORT)
    fake_engine.freeze()
    assert isinstance(reader.end(), EngineUnreachableError)


# A real engine


def test_real_events(engine: PrivateEngine, cancel: CancelToken) -> None:
    """A container's whole life on a real engine, in order."""
    reader = subscribed(engine.url, cancel)
    container = engine.run("sleep", "60", name="whole-life", label={"com.example": "yes"})
    engine.docker("rename", container, "renamed")
    engine.docker("restart", "--time", "0", container)
    engine.remove(container)
    events = until(reader, container, "destroy")
    expected = ["create", "start", "rename", "die", "start", "die", "destroy"]
    assert [event.action for event in events if event.action in expected] == expected
    assert {event.name for event in events[:2]} == {"whole-life"}
    assert events[-1].name == "renamed"
    assert all(event.attributes["com.example"] == "yes" for event in events)
    assert [event.time for event in events] == sorted(event.time for event in events)


def test_real_engine_killed_and_restarted(own_engine: Callable[..., PrivateEngine], cancel: CancelToken) -> None:
    """After a crash that the containers survive, what happens before the next subscription is told by it."""
    real = own_engine("--live-restore")
    reader = subscribed(real.url, cancel)
    survivor = real.run("sleep", "600", name="survivor")
    last = until(reader, survivor, "start")[-1]
    real.kill()
    assert isinstance(reader.end(), EngineUnreachableError)
    real.start()
    engine = connected(real.url)
    assert engine.inspect(survivor)["State"]["Running"] is True
    unseen = real.run("true", name="unseen")
    wait_until(lambda: not engine.inspect(unseen)["State"]["Running"], 20, "`true` does not end")
    again = Reader(engine.events(last.time, cancel))
    assert [event.action for event in until(again, unseen, "die")] == ["create", "start", "die"]
