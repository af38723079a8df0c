"""Agents' messages on a real broker, and `usage-agent watch` as a process."""

import os
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Subscriber
from support.terminal import OpenTerminal, Terminal

from agent.messages.topics import Message
from fleet.messages import Host


class Agents:
    """Publishes messages as agents do, below a base of its own.

    Attributes:
        base: first level of all topics.
        url: of the broker.
    """

    def __init__(self, broker: Mosquitto) -> None:
        self.base = f"fleet-{uuid4().hex[:8]}"
        self.url = broker.url
        self._broker = broker
        self._publisher = Subscriber(broker.url, "nothing")

    def host(self, name: str = "pi") -> Host:
        """Return a maker of one host's messages."""
        return Host(name, self.base)

    def send(self, *messages: Message) -> None:
        """Publish messages, in their order."""
        for message in messages:
            self._publisher.publish(message.topic, message.payload, message.retain)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish anything below the base."""
        self._publisher.publish(f"{self.base}/{topic}", payload)

    def wait_for_subscriber(self, count: int = 1) -> None:
        """Wait until so many have subscribed: what is not retained is lost before."""
        line = f"{self.base}/# (QoS"
        wait_until(lambda: self._broker.log.count(line) >= count, PATIENCE, "nobody has subscribed")

    def close(self) -> None:
        """End the connection."""
        self._publisher.close()


@pytest.fixture
def agents(broker: Mosquitto) -> Iterator[Agents]:
    """Yield agents on the broker that all tests share."""
    made = Agents(broker)
    yield made
    made.close()


Watch = Callable[..., RunningAgent]


@pytest.fixture
def watch(agent: Callable[..., RunningAgent], agents: Agents) -> Watch:
    """Yield a function that starts `usage-agent watch` with arguments."""

    def start(*arguments: str, url: str | None = None, environment: dict[str, str] | None = None) -> RunningAgent:
        config = {"broker": {"url": url or agents.url}, "topics": {"base": agents.base}}
        return agent(config, "watch", *arguments, environment=environment)

    return start


@pytest.fixture
def terminal(agents: Agents) -> Iterator[OpenTerminal]:
    """Yield a function that runs `usage-agent watch` on a terminal, and returns when its screen is there."""
    made: list[Terminal] = []

    def run(
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        url: str | None = None,
        until: str = "↑↓ move",
        environment: dict[str, str] | None = None,
    ) -> Terminal:
        variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
        variables |= {"USAGE_AGENT_BROKER__URL": url or agents.url, "USAGE_AGENT_TOPICS__BASE": agents.base}
        variables |= {"COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"} | (environment or {})
        made.append(Terminal([sys.executable, "-m", "agent", "watch", *arguments], variables, columns, rows))
        made[-1].wait_for(until)
        return made[-1]

    yield run
    for one in made:
        one.close()
