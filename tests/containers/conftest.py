"""The harness of the tests of this package."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.fakes.engine import FakeEngine

from containers.harness import ContainersHarness, MakeHarness


@pytest.fixture
def make_harness(fake_engine: FakeEngine) -> Iterator[MakeHarness]:
    """Provide a function that starts a harness on the fake engine, whose statistics streams are fast."""
    fake_engine.tick = 0.05
    made: list[ContainersHarness] = []

    def make(**options: Any) -> ContainersHarness:
        made.append(ContainersHarness(fake_engine, **options))
        return made[-1]

    yield make
    for harness in made:
        harness.close()
