"""Stream and poll: the same kind of reading, on schedule; an unusable document differs from a stopped container."""

import time
from collections.abc import Callable
from itertools import islice, pairwise

import pytest
from support.daemons.processes import PATIENCE, slack
from support.engine_client import ReaderThread, connected, readings
from support.fakes.container import Document
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer

from agent.collection.engine_source import PollSource, StreamSource
from agent.collection.factory import create_source
from agent.collection.source import ReadingsEndedError, Source
from agent.engine.client import EngineClient
from agent.engine.errors import EngineUnreachableError, InvalidResponseError, NoSuchContainerError
from agent.metrics.reading import ContainerNotRunningError, Reading
from agent.runtime.cancel import CancelToken

both = pytest.mark.parametrize("make", [StreamSource, PollSource])
Make = Callable[[EngineClient], Source]


def take(source: Source, container_id: str, interval: float, count: int) -> list[Reading]:
    """Return the first `count` readings of a container."""
    cancel = CancelToken()
    found = list(islice(readings(source, container_id, interval, cancel), count))
    cancel.set()
    return found


@both
def test_readings_come_in_order_with_both_clocks(fake_engine: FakeEngine, make: Make) -> None:
    """Each reading has the engine's time at which it was taken, and the agent's at which it arrived."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    begun = time.monotonic()
    found = take(make(connected(fake_engine.url)), container.id, 0.5, 4)
    assert all(earlier.time < later.time for earlier, later in pairwise(found))
    assert all(earlier.arrived < later.arrived for earlier, later in pairwise(found))
    assert begun < found[0].arrived < time.monotonic()
    assert all(reading.cpu.online == 2 for reading in found)


@both
def test_first_two_readings_come_at_once(fake_engine: FakeEngine, make: Make) -> None:
    """However long the interval, the first usage does not wait for it."""
    container = fake_engine.run("web")
    begun = time.monotonic()
    assert len(take(make(connected(fake_engine.url)), container.id, 3600, 2)) == 2
    assert time.monotonic() - begun < PATIENCE


@pytest.mark.slow
@both
def test_readings_keep_a_steady_schedule(fake_engine: FakeEngine, make: Make) -> None:
    """From the second on there is one for each interval; a late reading does not delay the next one."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    found = take(make(connected(fake_engine.url)), container.id, 0.5, 12)
    moments = [reading.arrived - found[1].arrived for reading in found[1:]]
    assert moments[-1] > 4.6, "ten intervals of half a second"
    assert moments[-1] < 5 + slack()


def test_documents_that_are_not_picked_are_not_decoded(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """Documents between two readings are not decoded: there anything does no harm."""
    fake_engine.tick = 0.05
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    reader = ReaderThread(readings(StreamSource(engine), container.id, 3600, cancel))
    reader.next()
    reader.next()
    container.raw = b"nonsense\n"
    cancel.wait(0.5)
    cancel.set()
    assert reader.end() is None
    assert engine.counters()["errors"] == 0


@both
def test_zeros_of_a_stopped_container_are_reported_as_that(
    fake_engine: FakeEngine, make: Make, cancel: CancelToken
) -> None:
    """Engines answer zeros for a container that has stopped."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    reader = ReaderThread(readings(make(connected(fake_engine.url)), container.id, 0.5, cancel))
    reader.next()
    fake_engine.die(container)
    assert isinstance(reader.end(), ContainerNotRunningError)


@both
def test_unknown_container_is_reported_as_that(fake_engine: FakeEngine, make: Make) -> None:
    """A container that the engine does not know has an error of its own."""
    with pytest.raises(NoSuchContainerError):
        take(make(connected(fake_engine.url)), "c0ffee", 1, 1)


def no_usage(document: Document) -> None:
    del document["cpu_stats"]["cpu_usage"]["total_usage"]


def text_for_number(document: Document) -> None:
    document["cpu_stats"]["cpu_usage"]["total_usage"] = "many"


@both
@pytest.mark.parametrize("spoil", [no_usage, text_for_number])
def test_three_unusable_documents_in_a_row_end_the_readings(
    fake_engine: FakeEngine, make: Make, cancel: CancelToken, spoil: Callable[[Document], None]
) -> None:
    """Three in a row are a fault of the engine; each is counted as an error."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    reader = ReaderThread(readings(make(engine), container.id, 0.5, cancel))
    reader.next()
    before = engine.counters()["errors"]
    container.change = spoil
    assert isinstance(reader.end(), InvalidResponseError)
    assert engine.counters()["errors"] == before + 3


@both
def test_repeated_document_is_unusable(fake_engine: FakeEngine, make: Make, cancel: CancelToken) -> None:
    """An engine that sends the same document again and again measures nothing: that ends the readings with an error."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    reader = ReaderThread(readings(make(engine), container.id, 0.2, cancel))
    reader.next()
    before = engine.counters()["errors"]
    container.raw = container.stats(fake_engine.now())
    assert reader.next() is not None
    assert isinstance(reader.end(), InvalidResponseError)
    assert engine.counters()["errors"] == before + 3


@both
def test_two_unusable_documents_in_a_row_are_skipped(fake_engine: FakeEngine, make: Make) -> None:
    """Each costs one usage, however often that happens."""
    fake_engine.tick = 0.05
    container = fake_engine.run("web")
    container.change = SpoilsTwoOfThree()
    engine = connected(fake_engine.url)
    # So short an interval that a stream leaves out no document, however late some arrive.
    assert len(take(make(engine), container.id, 1e-6, 4)) == 4
    assert engine.counters()["errors"] >= 6


class SpoilsTwoOfThree:
    """Leaves every third document as it is."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, document: Document) -> None:
        """Spoil two of three documents."""
        self.count += 1
        if self.count % 3:
            no_usage(document)


def test_stream_ends_with_the_container(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A stream that ends cleanly says that there are no more readings, and nothing about the container."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    reader = ReaderThread(readings(StreamSource(connected(fake_engine.url)), container.id, 0.5, cancel))
    reader.next()
    del fake_engine.containers[container.id]
    assert isinstance(reader.end(), ReadingsEndedError)


@both
@pytest.mark.parametrize("leave", [lambda fake: fake.stop(), lambda fake: fake.freeze()], ids=["stops", "freezes"])
def test_engine_that_stops_or_freezes_is_an_error(
    fake_engine: FakeEngine, make: Make, cancel: CancelToken, leave: Callable[[FakeEngine], None]
) -> None:
    """The error comes within the engine's timeout."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    reader = ReaderThread(readings(make(connected(fake_engine.url, timeout=1)), container.id, 0.5, cancel))
    reader.next()
    leave(fake_engine)
    assert isinstance(reader.end(), EngineUnreachableError)


@pytest.mark.slow
def test_poll_leaves_out_missed_moments(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """After a slow answer there is no burst of readings."""
    container = fake_engine.run("web")
    reader = ReaderThread(readings(PollSource(connected(fake_engine.url)), container.id, 0.5, cancel))
    reader.next()
    reader.next()
    raw = container.stats(fake_engine.now())
    fake_engine.script(r".*/stats", Answer(body=raw, delay=2.2), times=1)
    slow = reader.next()
    after = [reader.next() for _ in range(4)]
    # A burst would bring four together; on schedule the first may be late and close to the second.
    assert after[3].arrived - slow.arrived >= 2 * 0.5


def test_wake_does_not_hurry_a_poll(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A wake-up is meant for waits after an error: a healthy poll keeps its schedule."""
    container = fake_engine.run("web")
    reader = ReaderThread(readings(PollSource(connected(fake_engine.url)), container.id, 1.0, cancel))
    first = [reader.next(), reader.next()]
    cancel.wake()
    assert reader.next().arrived - first[1].arrived > 0.5


@both
def test_cancelled_between_two_readings(fake_engine: FakeEngine, make: Make) -> None:
    """However long the interval, a cancelled reader ends at once and without an error."""
    container = fake_engine.run("web")
    cancel = CancelToken()
    reader = ReaderThread(readings(make(connected(fake_engine.url)), container.id, 3600, cancel))
    reader.next()
    reader.next()
    cancel.set()
    assert reader.end() is None


@pytest.mark.parametrize(
    ("source", "interval", "api", "chosen"),
    [
        ("auto", 0.5, "1.41", StreamSource),
        ("auto", 1.9, "1.41", StreamSource),
        ("auto", 2, "1.41", PollSource),
        ("auto", 10, "1.52", PollSource),
        ("auto", 10, "1.40", StreamSource),  # where a poll takes two seconds, and costs as much as a stream
        ("poll", 0.5, "1.40", PollSource),
        ("stream", 3600, "1.52", StreamSource),
    ],
)
def test_source_is_the_configured_one_or_the_cheaper_one(
    fake_engine: FakeEngine, source: str, interval: float, api: str, chosen: type
) -> None:
    """`auto` takes the cheaper source that the engine is able to serve; a name takes that source."""
    fake_engine.api = api
    found = create_source(source, interval, connected(fake_engine.url))
    assert found.name == chosen.__name__.removesuffix("Source").lower()
    container = fake_engine.run("web")
    assert len(take(found, container.id, interval, 2)) == 2
