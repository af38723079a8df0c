"""A publisher in a thread of its own."""

from collections.abc import Iterator

import pytest

from agent.config import BackoffSettings
from mqtt.harness import NEVER_SECONDS, Publish, RunningPublisher


@pytest.fixture
def publish() -> Iterator[Publish]:
    """Give a maker of running publishers: `publish(broker.url, keepalive=2)`, `publish([url, url], backoff=0.1)`.

    The backoff is so long that a test fails if the publisher waits until its end.
    """
    made: list[RunningPublisher] = []

    def make(
        url: str | list[str],
        *,
        backoff: float = NEVER_SECONDS,
        factor: float = 1.0,
        capacity: int = 1000,
        **keys: object,
    ) -> RunningPublisher:
        urls = (url,) if isinstance(url, str) else tuple(url)
        settings = BackoffSettings(base=backoff, factor=factor, cap=max(backoff * factor**3, 0.001))
        made.append(RunningPublisher(urls, settings, capacity, keys))
        return made[-1]

    yield make
    for publisher in made:
        publisher.stop(0)
