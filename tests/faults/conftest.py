"""Fixtures for the tests of faults."""

from collections.abc import Callable

import pytest
from support.daemons.mosquitto import Mosquitto


@pytest.fixture
def broker(own_broker: Callable[..., Mosquitto]) -> Mosquitto:
    """Give a broker for this test alone: all agents here are on one host, and would see each other's messages."""
    return own_broker()
