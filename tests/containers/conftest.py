"""A stage for every test of what the supervisor says."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.fakes.engine import FakeEngine

from containers.harness import ContainersHarness


@pytest.fixture
def harness(fake_engine: FakeEngine) -> Iterator[Callable[..., ContainersHarness]]:
    """Give a maker of stages on the fake engine, whose streams tick fast."""
    fake_engine.tick = 0.05
    made: list[ContainersHarness] = []

    def make(**options: Any) -> ContainersHarness:
        made.append(ContainersHarness(fake_engine, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
