"""Sources: both give the same kind of reading, on a grid, and tell a bad document from a stopped container."""

import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import pytest
from support.asking import PATIENT, Reader, connected, readings
from support.daemons.dockerd import PrivateEngine
from support.fakes.container import Document
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer

from agent.collection.engine_source import PollSource, StreamSource
from agent.collection.fallback import create_source
from agent.collection.source import ReadingsEndedError, Source
from agent.engine.client import EngineClient
from agent.engine.errors import EngineUnreachableError, InvalidResponseError, NoSuchContainerError
from agent.metrics.reading import ContainerNotRunningError, Reading
from agent.runtime.cancel import CancelToken

both = pytest.mark.parametrize("make", [StreamSource, PollSource])
Make = Callable[[EngineClient], Source]


@pytest.fixture
def cancel() -> Iterator[CancelToken]:
    """Give what ends all reading when the test does."""
    cancel = CancelToken()
    yield cancel
    cancel.set()


def take(source: Source, container_id: str, interval: float, count: int) -> list[Reading]:
    """Return so many readings, then end."""
    cancel = CancelToken()
    found = list(islice(readings(source, container_id, interval, cancel), count))
    cancel.set()
    return found


@both
def test_readings(fake_engine: FakeEngine, make: Make) -> None:
    """Readings come in order, and each says when it was taken and when it came."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    begun = time.monotonic()
    found = take(make(connected(fake_engine.url)), container.id, 0.5, 4)
    assert all(earlier.time < later.time for earlier, later in pairwise(found))
    assert all(earlier.arrived < later.arrived for earlier, later in pairwise(found))
    assert begun < found[0].arrived < time.monotonic()
    assert all(reading.cpu.online == 2 for reading in found)


@both
def test_first_two_at_once(fake_engine: FakeEngine, make: Make) -> None:
    """However long the interval, the first usage does not wait for it."""
    container = fake_engine.run("web")
    begun = time.monotonic()
    assert len(take(make(connected(fake_engine.url)), container.id, 3600, 2)) == 2
    assert time.monotonic() - begun < PATIENT


@both
def test_steady_grid(fake_engine: FakeEngine, make: Make) -> None:
    """From the second on there is one an interval; what comes late does not push the next one away."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    found = take(make(connected(fake_engine.url)), container.id, 0.5, 12)
    grid = [reading.arrived - found[1].arrived for reading in found[1:]]
    assert grid[-1] > 4.6, "ten intervals of half a second"
    assert grid[-1] < 5 + PATIENT / 4


def test_stream_is_not_decoded_in_vain(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """Documents that are not picked may be anything: nobody reads them."""
    fake_engine.tick = 0.05
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    reader = Reader(readings(StreamSource(engine), container.id, 3600, cancel))
    reader.next()
    reader.next()
    container.raw = b"nonsense\n"
    cancel.wait(0.5)
    cancel.set()
    assert reader.end() is None
    assert engine.counters()["errors"] == 0


@both
def test_stopped_container(fake_engine: FakeEngine, make: Make, cancel: CancelToken) -> None:
    """The zeros of a container that has stopped are told as that."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    reader = Reader(readings(make(connected(fake_engine.url)), container.id, 0.5, cancel))
    reader.next()
    fake_engine.die(container)
    assert isinstance(reader.end(), ContainerNotRunningError)


@both
def test_unknown_container(fake_engine: FakeEngine, make: Make) -> None:
    """So is one that the engine does not know."""
    with pytest.raises(NoSuchContainerError):
        take(make(connected(fake_engine.url)), "c0ffee", 1, 1)


def no_usage(document: Document) -> None:
    del document["cpu_stats"]["cpu_usage"]["total_usage"]


def text_for_number(document: Document) -> None:
    document["cpu_stats"]["cpu_usage"]["total_usage"] = "many"


@both
@pytest.mark.parametrize("spoil", [no_usage, text_for_number])
def test_unusable_documents(
    fake_engine: FakeEngine, make: Make, cancel: CancelToken, spoil: Callable[[Document], None]
) -> None:
    """Three unusable documents in a row are the engine's way, and end the readings; each was counted."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    reader = Reader(readings(make(engine), container.id, 0.5, cancel))
    reader.next()
    before = engine.counters()["errors"]
    container.change = spoil
    assert isinstance(reader.end(), InvalidResponseError)
    assert engine.counters()["errors"] == before + 3


@both
def test_engine_that_stands_still(fake_engine: FakeEngine, make: Make, cancel: CancelToken) -> None:
    """An engine that gives the same document again and again measures nothing: that is an error, and no silence."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    reader = Reader(readings(make(engine), container.id, 0.2, cancel))
    reader.next()
    before = engine.counters()["errors"]
    container.raw = container.stats(fake_engine.now())
    assert reader.next() is not None
    assert isinstance(reader.end(), InvalidResponseError)
    assert engine.counters()["errors"] == before + 3


@both
def test_two_unusable_documents(fake_engine: FakeEngine, make: Make) -> None:
    """Two cost a usage each, however often it happens."""
    fake_engine.tick = 0.05
    container = fake_engine.run("web")
    container.change = SpoilsTwoOfThree()
    engine = connected(fake_engine.url)
    assert len(take(make(engine), container.id, 0.05, 4)) == 4
    assert engine.counters()["errors"] >= 6


class SpoilsTwoOfThree:
    """Leaves every third document as it is."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, document: Document) -> None:
        """Spoil it, or not."""
        self.count += 1
        if self.count % 3:
            no_usage(document)


def test_stream_ends_with_the_container(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """When the engine ends a stream cleanly, that says that there are no more readings, and nothing else."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    reader = Reader(readings(StreamSource(connected(fake_engine.url)), container.id, 0.5, cancel))
    reader.next()
    del fake_engine.containers[container.id]
    assert isinstance(reader.end(), ReadingsEndedError)


@both
@pytest.mark.parametrize("leave", [lambda fake: fake.stop(), lambda fake: fake.freeze()], ids=["stops", "freezes"])
def test_engine_that_leaves(
    fake_engine: FakeEngine, make: Make, cancel: CancelToken, leave: Callable[[FakeEngine], None]
) -> None:
    """An engine that stops or freezes is an error of the engine, within its timeout."""
    fake_engine.tick = 0.1
    container = fake_engine.run("web")
    reader = Reader(readings(make(connected(fake_engine.url, timeout=1)), container.id, 0.5, cancel))
    reader.next()
    leave(fake_engine)
    assert isinstance(reader.end(), EngineUnreachableError)


def test_poll_does_not_catch_up(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """Grid points that a slow answer has missed are left out: no burst after it."""
    container = fake_engine.run("web")
    reader = Reader(readings(PollSource(connected(fake_engine.url)), container.id, 0.5, cancel))
    reader.next()
    reader.next()
    raw = container.stats(fake_engine.now())
    fake_engine.script(r".*/stats", Answer(body=raw, delay=2.2), times=1)
    slow = reader.next()
    after = [reader.next() for _ in range(4)]
    # Made up for at once, four would come together; on the grid the first may be late and close to the second.
    assert after[3].arrived - slow.arrived >= 2 * 0.5


def test_poll_is_not_hurried_by_a_nudge(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A nudge is about errors: a healthy poll keeps its grid."""
    container = fake_engine.run("web")
    reader = Reader(readings(PollSource(connected(fake_engine.url)), container.id, 1.0, cancel))
    first = [reader.next(), reader.next()]
    cancel.wake()
    assert reader.next().arrived - first[1].arrived > 0.5


@both
def test_ends_when_cancelled(fake_engine: FakeEngine, make: Make) -> None:
    """Between two readings, however far apart, a source ends at once and without an error."""
    container = fake_engine.run("web")
    cancel = CancelToken()
    reader = Reader(readings(make(connected(fake_engine.url)), container.id, 3600, cancel))
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
def test_choice(fake_engine: FakeEngine, source: str, interval: float, api: str, chosen: type) -> None:
    """By itself the cheaper one is taken that the engine can do; by name, that one."""
    fake_engine.api = api
    found = create_source(source, interval, connected(fake_engine.url))
    assert found.name == chosen.__name__.removesuffix("Source").lower()
    container = fake_engine.run("web")
    assert len(take(found, container.id, interval, 2)) == 2


# A real engine


@both
def test_real_readings(engine: PrivateEngine, make: Make) -> None:
    """A busy container's readings grow, both ways, about once a second."""
    container = engine.run("sh", "-c", "while :; do :; done", cpus=0.2)
    found = take(make(connected(engine.url)), container, 1.0, 4)
    for earlier, later in pairwise(found):
        assert later.time - earlier.time > 300_000_000
        assert later.cpu.total > earlier.cpu.total
        assert later.memory is not None
        assert later.memory["usage"] > 0
        assert later.cpu.online >= 1


@both
def test_real_container_that_stops(engine: PrivateEngine, make: Make, cancel: CancelToken) -> None:
    """The end of a container is told by the zeros that follow it, or by the engine's ending of it."""
    container = engine.run("sleep", "600")
    reader = Reader(readings(make(connected(engine.url)), container, 1.0, cancel))
    reader.next()
    engine.docker("kill", container)
    assert isinstance(reader.end(), ContainerNotRunningError)


def test_real_polls_side_by_side(engine: PrivateEngine) -> None:
    """Twenty containers' worth of polls at once are answered as fast as one, though each waits for the tick."""
    container = engine.run("sleep", "600")
    asked = connected(engine.url)
    cancels = [CancelToken() for _ in range(20)]
    begun = time.monotonic()
    readers = [Reader(readings(PollSource(asked), container, 2.0, cancel)) for cancel in cancels]
    for reader in readers:
        reader.next()
    assert time.monotonic() - begun < 10, "one after the other they would take twenty seconds"
    for cancel in cancels:
        cancel.set()
    assert [reader.end() for reader in readers] == [None] * 20
