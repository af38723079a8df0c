"""Stream and poll on a real engine."""

import time
from itertools import pairwise

from support.daemons.dockerd import PrivateEngine
from support.engine_client import ReaderThread, connected, readings

from agent.collection.engine_source import PollSource
from agent.metrics.reading import ContainerNotRunningError
from agent.runtime.cancel import CancelToken
from collection.test_engine_source import Make, both, take


@both
def test_readings_of_a_real_container_grow(engine: PrivateEngine, make: Make) -> None:
    """The counters of a busy container grow, about once a second, by stream and by poll."""
    container = engine.run("sh", "-c", "while :; do :; done", cpus=0.2)
    found = take(make(connected(engine.url)), container, 1.0, 4)
    for earlier, later in pairwise(found):
        assert later.time - earlier.time > 300_000_000
        assert later.cpu.total > earlier.cpu.total
        assert later.memory is not None
        assert later.memory["usage"] > 0
        assert later.cpu.online >= 1


@both
def test_end_of_a_real_container_is_reported(engine: PrivateEngine, make: Make, cancel: CancelToken) -> None:
    """The zeros that follow the end of a container are reported as a container that does not run."""
    container = engine.run("sleep", "600")
    reader = ReaderThread(readings(make(connected(engine.url)), container, 1.0, cancel))
    reader.next()
    engine.docker("kill", container)
    assert isinstance(reader.end(), ContainerNotRunningError)


def test_polls_of_a_real_engine_run_side_by_side(engine: PrivateEngine) -> None:
    """Twenty polls at once are answered as fast as one, although each waits for the engine's tick."""
    container = engine.run("sleep", "600")
    asked = connected(engine.url)
    cancels = [CancelToken() for _ in range(20)]
    begun = time.monotonic()
    readers = [ReaderThread(readings(PollSource(asked), container, 2.0, cancel)) for cancel in cancels]
    for reader in readers:
        reader.next()
    assert time.monotonic() - begun < 10, "one after the other they would take twenty seconds"
    for cancel in cancels:
        cancel.set()
    assert [reader.end() for reader in readers] == [None] * 20
