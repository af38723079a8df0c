"""A container with an interval of its own: how the engine is asked for it."""

from support.engine_client import ReaderThread, connected, readings
from support.fakes.engine import FakeEngine

from agent.collection.fallback import FallbackSource
from agent.runtime.cancel import CancelToken


def test_container_is_polled_or_streamed_by_its_own_interval(fake_engine: FakeEngine, cancel: CancelToken) -> None:
    """A stream gives many readings for one request, a poll needs one each; `name` is that of most containers."""
    fake_engine.tick = 0.05
    container = fake_engine.run("web")
    client = connected(fake_engine.url)
    route = "/containers/{id}/stats"

    polling = FallbackSource(client, 10, None)
    assert polling.name == "poll"
    reader = ReaderThread(readings(polling, container.id, 0.5, cancel))
    for _ in range(4):
        reader.next()
    assert fake_engine.requests[route] == 1

    streaming = FallbackSource(client, 1, None)
    assert streaming.name == "stream"
    reader = ReaderThread(readings(streaming, container.id, 10, cancel))
    for _ in range(2):
        reader.next()
    assert fake_engine.requests[route] == 3
