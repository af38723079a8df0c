"""A publisher in a thread of its own."""

from collections.abc import Callable, Iterator

import pytest

from agent.config import BackoffSettings
from mqtt.harness import RunningPublisher


@pytest.fixture
def publish() -> Iterator[Callable[..., RunningPublisher]]:
    """Give a maker of running publishers: `publish(broker.url, keepalive=2)`, `publish([url, url], backoff=60)`."""
    made: list[RunningPublisher] = []

    def make(
        url: str | list[str], *, backoff: float = 60.0, factor: float = 1.0, capacity: int = 1000, **keys: object
    ) -> RunningPublisher:
        urls = (url,) if isinstance(url, str) else tuple(url)
        settings = BackoffSettings(base=backoff, factor=factor, cap=max(backoff * factor**3, 0.001))
        made.append(RunningPublisher(urls, settings, capacity, keys))
        return made[-1]

    yield make
    for publisher in made:
        publisher.stop(0)
