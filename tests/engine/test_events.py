"""Events: none is lost between two subscriptions, none comes twice, and a silent engine is told from a lost one."""

import itertools
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import PATIENCE, wait_until
from support.engine_client import ReaderThread, connected, connected_with_short_timeout
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer

from agent.engine.errors import EngineUnreachableError, InvalidResponseError
from agent.engine.protocol import Event
from agent.runtime.cancel import CancelToken

SILENCE = 1.0  # seconds without an event after which the client subscribes anew; a slow machine needs that long


def subscribed(
    url: str, cancel: CancelToken, since: int | None = None, timeout: float = 10.0
) -> ReaderThread[Event | None]:
    """Return a thread that reads the events of a client which is subscribed."""
    reader = ReaderThread(connected_with_short_timeout(url, timeout).events(since, cancel))
    assert reader.next() is None
    return reader


def actions(reader: ReaderThread[Event | None], count: int) -> list[str]:
    """Return the actions of the next events; the None of each new subscription is left out."""
    found: list[str] = []
    while len(found) < count:
        if event := reader.next():
            found.append(event.action)
    return found


def until(reader: ReaderThread[Event | None], container: str, action: str) -> list[Event]:
    """Return the events of a container up to this action; those of other containers are left out."""
    found: list[Event] = []
    while not found or found[-1].action != action:
        event = reader.next()
        if event and event.id == container:
            found.append(event)
    return found


@pytest.fixture
def cancel() -> Iterator[CancelToken]:
    """Give a token that is set when the test ends."""
    cancel = CancelToken()
    yield cancel
    cancel.set()


@pytest.mark.parametrize("api", ["1.41", "1.52"])
def test_event_has_time_action_container_and_attributes(fake_engine: FakeEngine, cancel: CancelToken, api: str) -> None:
    """Events of every API version are understood alike."""
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


def test_silence_leads_to_a_new_subscription(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """After each silence the client subscribes anew, and events that come again are left out."""
    reader = subscribed(fake_engine.url, cancel, timeout=SILENCE)
    fake_engine.run("web")
    assert actions(reader, 2) == ["create", "start"]
    assert reader.next() is None
    assert reader.next() is None
    assert fake_engine.requests["/events"] >= 3
    fake_engine.run("later")
    assert actions(reader, 2) == ["create", "start"]
    cancel.set()
    assert reader.end() is None


def test_incomplete_chunk_is_silence(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A subscription that sends the size of a chunk without end is silent: the client subscribes anew."""

    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nDate: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % formatdate(usegmt=True).encode()
        while not cancel.wait(0.05):
            yield b"0"

    fake_engine.script("/events", Answer(raw=drip()), times=1)
    reader = subscribed(fake_engine.url, cancel, timeout=SILENCE)
    fake_engine.run("web")
    assert actions(reader, 1) != []


def test_engines_clock_may_be_set_back(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """After an event from the future, events of the corrected clock are not missed."""
    container = fake_engine.run("web")
    reader = subscribed(fake_engine.url, cancel, since=container.started, timeout=SILENCE)
    assert actions(reader, 1) == ["start"]
    fake_engine.clock = 10**12
    fake_engine.pause(container)
    fake_engine.clock = 0
    fake_engine.unpause(container)
    assert actions(reader, 2) == ["pause", "unpause"]
    fake_engine.script("/events", Answer(chunks=[], delay=0.5), times=1)  # this subscription is lost
    assert isinstance(reader.end(), EngineUnreachableError)
    fake_engine.pause(container)
    assert reader.next() is None


def test_no_event_is_lost_between_subscriptions(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """Events between a subscription that fell silent and the next one are yielded, even if it was the first."""

    def silent() -> Iterator[bytes]:
        subscribing.set()
        while not cancel.wait(0.05):
            yield b""

    subscribing = threading.Event()
    fake_engine.script("/events", Answer(chunks=silent()), times=1)
    reader = subscribed(fake_engine.url, cancel, timeout=SILENCE)
    assert subscribing.wait(PATIENCE)
    fake_engine.run("meanwhile")
    assert actions(reader, 2) == ["create", "start"]


def test_since_includes_its_own_instant(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """An event at the same nanosecond is not lost: it comes again."""
    first = subscribed(fake_engine.url, cancel)
    fake_engine.run("web")
    events = [first.next(), first.next()]
    assert events[-1] is not None
    again = subscribed(fake_engine.url, cancel, since=events[-1].time)
    assert again.next() == events[-1]


def test_two_events_at_one_instant_both_count(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """Two events may have the same time; each is yielded once."""
    reader = subscribed(fake_engine.url, cancel, timeout=SILENCE)
    container = fake_engine.run("web")
    assert actions(reader, 2) == ["create", "start"]
    twin = fake_engine.event("die", container)
    fake_engine.events.push(twin)
    fake_engine.events.push(twin | {"Action": "stop"})
    assert actions(reader, 2) == ["die", "stop"]
    assert reader.next() is None
    fake_engine.begin(container)
    assert actions(reader, 1) == ["start"]


def test_many_events_come_once_and_in_order(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A thousand events are yielded, though fewer are remembered to recognise repetitions."""
    reader = subscribed(fake_engine.url, cancel)
    container = fake_engine.run("web")
    assert actions(reader, 2) == ["create", "start"]
    begun = fake_engine.now()
    for number in range(1000):
        fake_engine.events.push(fake_engine.event(f"exec_start: {number}", container) | {"timeNano": begun + number})
    details = [event.detail for event in itertools.islice(iter(reader.next, "never"), 1000) if event]
    assert details == [str(number) for number in range(1000)]


@pytest.mark.parametrize("line", [b"<html>\n", b"\xff\n", b"[]\n", b'{"Type":\n'])
def test_line_that_is_no_document_ends_the_events(fake_engine: FakeEngine, cancel: CancelToken, line: bytes) -> None:
    """Nothing shows which event such a line was, so the subscription ends with an error."""
    reader = subscribed(fake_engine.url, cancel)
    fake_engine.events.wait_for_listeners()
    fake_engine.events.push(line)
    assert isinstance(reader.end(), InvalidResponseError)


def test_unknown_event_is_skipped(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A container's event of an unknown shape is a counted error, an event of another type is none; others follow."""
    engine = connected(fake_engine.url)
    reader = ReaderThread(engine.events(None, cancel))
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
    ids=["cleanly", "killed"],
)
def test_end_of_the_events_is_a_lost_engine(
    fake_engine: FakeEngine, cancel: CancelToken, leave: Callable[[FakeEngine], None]
) -> None:
    """An engine that ends its events, cleanly or not, is lost: events have no end."""
    reader = subscribed(fake_engine.url, cancel)
    fake_engine.events.wait_for_listeners()
    leave(fake_engine)
    assert isinstance(reader.end(), EngineUnreachableError)


def test_frozen_engine_is_unreachable(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """An engine that does not accept the subscription after a silence is frozen."""
    reader = subscribed(fake_engine.url, cancel, timeout=SILENCE)
    fake_engine.freeze()
    assert isinstance(reader.end(), EngineUnreachableError)


def test_real_engine_sends_a_containers_events_in_order(engine: PrivateEngine, cancel: CancelToken) -> None:
    """A real engine sends the events of a container's life in order."""
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


def test_no_event_is_lost_when_a_real_engine_is_killed(
    own_engine: Callable[..., PrivateEngine], cancel: CancelToken
) -> None:
    """After a crash that containers survive, the next subscription yields what happened before it."""
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
    again = ReaderThread(engine.events(last.time, cancel))
    assert [event.action for event in until(again, unseen, "die")] == ["create", "start", "die"]
