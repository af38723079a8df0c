"""The commands, their exit codes and their output."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.assertions.recording_subscriber import ROOT, VALIDATORS, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import end_with_parent
from support.fakes.engine import FakeEngine

Agent = Callable[..., RunningAgent]
StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

SECRET = "do-not-tell"  # the tests search for it


def test_once_publishes_one_usage_of_each_container_and_ends(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """`run --once` publishes one usage of every container, ends as after SIGTERM, and returns 0."""
    broker = own_broker()
    subscriber = record(broker)
    for name in ("one", "two"):
        engine.run(name=name)
    assert start_agent(engine, broker, "run", "--once").wait() == 0
    subscriber.agent("exit")
    for name in ("one", "two"):
        assert [usage["seq"] for usage in subscriber.usages(name)] == [1]
        assert subscriber.statuses(name) == ["running", "agent exit"]


@pytest.mark.parametrize(
    ("away", "missing"),
    [
        ({"engine": {"url": "unix:///nowhere"}}, "an answer of the engine"),
        ({"broker": {"url": f"mqtt://127.0.0.1:{free_port()}"}}, "a connection to the broker"),
    ],
    ids=["engine", "broker"],
)
def test_once_without_engine_or_broker_ends_with_an_error(
    fake_engine: FakeEngine,
    own_broker: OwnBroker,
    start_agent: StartAgent,
    away: dict[str, dict[str, Any]],
    missing: str,
) -> None:
    """`run --once` waits for twice `engine.timeout`, says what was not there, and returns 1."""
    fake_engine.run("web")
    tables = {"engine": {"timeout": 1} | away.get("engine", {}), "broker": away.get("broker", {})}
    running = start_agent(fake_engine, own_broker(), "run", "--once", **tables)
    assert running.wait() == 1
    assert f"after 2 s, twice engine.timeout, still missing: {missing}" in running.log


def test_once_waits_for_a_broker_that_comes_late(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """The usage of every container is kept until the broker is there, within twice `engine.timeout`."""
    broker = own_broker()
    broker.stop()
    fake_engine.run("web")
    running = start_agent(fake_engine, broker, "run", "--once", engine={"timeout": 60}, shutdown={"timeout": 0})
    running.wait_for_line("nobody listens there")
    running.wait_for_line("source stream: /proc")
    broker.start()
    subscriber = record(broker)
    assert running.wait() == 0
    assert [usage["seq"] for usage in subscriber.usages("web")] == [1]


def test_dry_run_prints_topics_and_payloads(engine: PrivateEngine, agent: Agent) -> None:
    """Every line of `run --dry-run` is a topic and a payload as a broker would receive them."""
    engine.run(name="web")
    config = {"agent": {"host": "h", "interval": 1}, "engine": {"url": engine.url}}
    running = agent(config, "run", "--dry-run", "--once")
    assert running.wait() == 0
    printed = dict(line.split(" ", 1) for line in running.output)
    VALIDATORS["Usage"].validate(json.loads(printed[f"{ROOT}/web/usage"]))
    assert json.loads(printed[f"{ROOT}/web/status"])["reason"] == "agent exit"
    assert json.loads(printed[f"{ROOT}/status"])["reason"] == "exit"


def test_check_reports_each_working_part(engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent) -> None:
    """`check` prints a line for every part, and for each container what is measured."""
    engine.run(name="web")
    running = start_agent(engine, own_broker(), "check")
    assert running.wait() == 0
    parts = ("configuration", "engine .*API 1", "web +CPU, memory.*pids", "broker .*MQTT 5", "broker .*may publish")
    for pattern in (f"ok +{part}" for part in parts):
        assert re.search(pattern, "\n".join(running.output)), pattern


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ({"agent": {"interval": 0}}, 2),
        ({"engine": {"url": "unix:///nowhere"}}, 3),
        ({"broker": {"url": f"mqtt://user:{SECRET}@127.0.0.1:{free_port()}"}}, 4),
    ],
)
def test_check_returns_the_exit_code_of_the_failed_part(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, tables: dict[str, Any], code: int
) -> None:
    """The exit code names the failed part, and no secret is printed."""
    running = start_agent(fake_engine, own_broker(), "check", **tables)
    assert running.wait() == code
    assert SECRET not in running.log + "\n".join(running.output)


def test_bad_configuration_ends_the_agent_at_once(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent
) -> None:
    """The agent logs all mistakes and returns 2 without starting any part."""
    running = start_agent(fake_engine, own_broker(), agent={"intervall": 1}, outbox={"capacity": 0})
    assert running.wait() == 2
    assert "did you mean agent.interval?" in running.log
    assert "outbox.capacity is 0" in running.log


def test_sigterm_during_the_start_ends_the_agent_cleanly(short_path: Path, fake_engine: FakeEngine) -> None:
    """SIGTERM is handled from the start of the process: the agent ends cleanly and returns 0."""
    slow = short_path / "slow.toml"
    os.mkfifo(slow)  # a read of this file blocks until it is written
    command = [sys.executable, "-m", "agent", "run", "--dry-run", "--config", str(slow)]
    with subprocess.Popen(end_with_parent(command), stderr=subprocess.PIPE, text=True) as starting:
        with slow.open("w") as configuration:
            starting.send_signal(signal.SIGTERM)
            configuration.write(f'[engine]\nurl = "{fake_engine.url}"\n')
        _, log = starting.communicate()
    assert starting.returncode == 0
    assert "ended: 0 usages" in log


def test_schema_needs_neither_engine_nor_broker(agent: Agent) -> None:
    """`schema` works without an engine and a broker."""
    schema = agent({}, "schema")
    assert schema.wait() == 0
    assert "Usage" in json.loads("\n".join(schema.output))["$defs"]


def test_embedded_broker_runs_or_reports_that_its_port_is_in_use(engine: PrivateEngine, agent: Agent) -> None:
    """`broker.url = "embedded"` needs no other broker; a port that is in use is an error that names it."""
    engine.run(name="web")
    config = {"agent": {"host": "h", "interval": 1}, "engine": {"url": engine.url}, "broker": {"url": "embedded"}}
    running = agent(config, "run", "--once")
    code = running.wait(60)
    assert (code, "in use" in running.log) in [(0, False), (1, True)]
