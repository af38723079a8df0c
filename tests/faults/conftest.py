"""What the tests of faults share."""

from collections.abc import Callable

import pytest
from support.daemons.mosquitto import Mosquitto


@pytest.fixture
def broker(own_broker: Callable[..., Mosquitto]) -> Mosquitto:
    """Give a broker of the test's own: all agents here are on one host, and would hear of each other."""
    return own_broker()
