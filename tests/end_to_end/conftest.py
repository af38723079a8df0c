"""An agent on the shared engine and broker, and somebody who watches it."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from parts.agent import RUN, RunningAgent
from parts.dockerd import PrivateEngine
from parts.fake_engine import FakeEngine
from parts.mosquitto import Mosquitto

from end_to_end.viewer import HOST, Viewer

Config = dict[str, dict[str, Any]]


@pytest.fixture
def view() -> Iterator[Callable[[Mosquitto], Viewer]]:
    """Give a maker of viewers; what each has seen is checked at the end."""
    made: list[Viewer] = []

    def make(broker: Mosquitto) -> Viewer:
        made.append(Viewer(broker.url))
        return made[-1]

    yield make
    for viewer in made:
        viewer.close()
        viewer.check()


@pytest.fixture
def watch(agent: Callable[..., RunningAgent]) -> Callable[..., RunningAgent]:
    """Give a maker of agents on host `h` with an interval of one second: `watch(engine, broker, topics={…})`."""

    def make(
        engine: PrivateEngine | FakeEngine, broker: Mosquitto, /, *command: str, **tables: dict[str, Any]
    ) -> RunningAgent:
        config: Config = {
            "agent": {"host": HOST, "interval": 1},
            "engine": {"url": engine.url, "timeout": 5},
            "broker": {"url": broker.url, "client_id": f"usage-agent-{uuid.uuid4().hex[:8]}"},
            "shutdown": {"timeout": 2},
        }
        for table, keys in tables.items():
            config[table] = config.get(table, {}) | keys
        return agent(config, *(command or RUN))

    return make
