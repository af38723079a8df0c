"""A cancel token and a recorded machine, for every test of this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fakes.engine import FakeEngine
from support.fakes.local_machine import LocalMachine

from agent.runtime.cancel import CancelToken


@pytest.fixture
def cancel() -> Iterator[CancelToken]:
    """Give a token that ends all reading after the test."""
    cancel = CancelToken()
    yield cancel
    cancel.set()


@pytest.fixture
def machine(fake_engine: FakeEngine, tmp_path: Path) -> LocalMachine:
    """Give the fake engine and a kernel that agree."""
    return LocalMachine(fake_engine, tmp_path)
