"""`usage-agent health`: what it says of running, killed and troubled agents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import FakeEngine

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]
Health = Callable[[], tuple[int, str]]

# A configuration that `run` could not use: another host, and a credential of systemd, which only the service can read.
UNUSABLE: dict[str, dict[str, Any]] = {
    "agent": {"host": "renamed", "interval": 0},
    "broker": {"password_file": "/run/credentials/usage-agent.service/broker-password"},
}


@pytest.fixture
def health(agent: Callable[..., RunningAgent]) -> Health:
    """Return a function that runs `usage-agent health`: its exit code and its output."""

    def ask() -> tuple[int, str]:
        command = agent(UNUSABLE, "health")
        return command.wait(), "\n".join(command.output)

    return ask


def test_health_reports_whether_the_agent_publishes(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, health: Health
) -> None:
    """`health` returns 0 while the agent publishes, and 1 if the broker is away or no agent runs.

    It needs neither the agent's host name nor its password.
    """
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    subscriber.usages("web", count=2)
    wait_until(lambda: health() == (0, "well"), PATIENCE, "the agent is not well")
    broker.kill()
    running.wait_for_line("nobody listens there")
    subscriber.close()
    wait_until(lambda: health()[0] == 1 and "nobody listens there" in health()[1], PATIENCE, "no trouble is told")
    assert running.stop() == 0
    code, text = health()
    assert code == 1
    assert text.startswith("no running agent found")


def test_health_tells_at_once_that_the_agent_was_killed(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, health: Health
) -> None:
    """The last heartbeat of a killed agent is not believed until it is old."""
    running = start_agent(fake_engine, own_broker())
    wait_until(lambda: health()[0] == 0, PATIENCE, "the agent is not well")
    running.kill()
    code, text = health()
    assert code == 1
    assert text.startswith("the agent does not run any more")


def test_health_tells_that_the_broker_rejects_usages(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, health: Health, short_path: Path
) -> None:
    """The connection stands, and the statuses arrive; but no subscriber gets a usage."""
    rules = short_path / "acl"
    rules.write_text("topic read #\ntopic write containers/+/status\ntopic write containers/+/+/status\n")
    fake_engine.run("web")
    start_agent(fake_engine, own_broker(f"acl_file {rules}"), broker={"protocol": "5"})
    wait_until(lambda: "does not take messages on containers/h/" in health()[1], PATIENCE, "no rejection is told")
    assert health()[0] == 1


def test_one_of_two_agents_of_a_host_ends_and_the_other_is_well(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, health: Health
) -> None:
    """Both have the same host name, and each a heartbeat of its own."""
    first, second = (start_agent(fake_engine, own_broker()) for _ in range(2))
    for running in (first, second):
        running.wait_for_line("connected to")
    wait_until(lambda: health()[0] == 0, PATIENCE, "the agents are not well")
    assert first.stop() == 0
    assert health()[0] == 0
    assert second.stop() == 0
    assert health()[0] == 1


def test_container_without_usages_is_told_by_health_and_counters(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, health: Health
) -> None:
    """`health` returns 1 with name and cause, the counters have it as `silent`; then both are well again."""
    broker = own_broker()
    subscriber = record(broker)
    web = fake_engine.run("web", raw=b'{"read": "0001-01-01T00:00:00Z"}\n')
    fake_engine.run("other")
    start_agent(fake_engine, broker, backoff={"base": 0.5, "cap": 0.5})
    subscriber.usages("other", count=2)

    wait_until(lambda: subscriber.counters()["silent"] == 1, PATIENCE, "the counters tell no silent container")
    code, text = health()
    assert code == 1
    assert "web runs without usages: " in text
    web.raw = None
    subscriber.usages("web", count=1)
    wait_until(lambda: subscriber.counters()["silent"] == 0, PATIENCE, "the counters still tell a silent container")
    wait_until(lambda: health() == (0, "well"), PATIENCE, "the agent is not well")
