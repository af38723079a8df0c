"""The commands, their exit codes and what they print."""

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
from support.daemons.processes import bound_to_us
from support.fakes.engine import FakeEngine

Agent = Callable[..., RunningAgent]
Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

SECRET = "do-not-tell"  # made to be looked for


def test_once_publishes_one_usage_of_each_container_and_ends(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """One usage of every container, then the same ending as on SIGTERM, and 0."""
    broker = own_broker()
    viewer = view(broker)
    for name in ("one", "two"):
        engine.run(name=name)
    assert watch(engine, broker, "run", "--once").wait() == 0
    viewer.agent("exit")
    for name in ("one", "two"):
        assert [usage["seq"] for usage in viewer.usages(name)] == [1]
        assert viewer.statuses(name) == ["running", "agent exit"]


def test_dry_run_prints_topics_and_payloads(engine: PrivateEngine, agent: Agent) -> None:
    """Every line is a topic and a payload, of the same kind that a broker would get."""
    engine.run(name="web")
    config = {"agent": {"host": "h", "interval": 1}, "engine": {"url": engine.url}}
    running = agent(config, "run", "--dry-run", "--once")
    assert running.wait() == 0
    printed = dict(line.split(" ", 1) for line in running.output)
    VALIDATORS["Usage"].validate(json.loads(printed[f"{ROOT}/web/usage"]))
    assert json.loads(printed[f"{ROOT}/web/status"])["reason"] == "agent exit"
    assert json.loads(printed[f"{ROOT}/status"])["reason"] == "exit"


def test_check_tells_of_each_part_that_works(engine: PrivateEngine, own_broker: OwnBroker, watch: Watch) -> None:
    """Every part has its line, and each container says what is measured."""
    engine.run(name="web")
    running = watch(engine, own_broker(), "check")
    assert running.wait() == 0
    for pattern in ("ok +configuration", "ok +engine .*API 1", "ok +web +CPU, memory.*pids", "ok +broker .*MQTT 5"):
        assert re.search(pattern, "\n".join(running.output)), pattern


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ({"agent": {"interval": 0}}, 2),
        ({"engine": {"url": "unix:///nowhere"}}, 3),
        ({"broker": {"url": f"mqtt://user:{SECRET}@127.0.0.1:{free_port()}"}}, 4),
    ],
)
def test_check_ends_with_the_exit_code_of_what_is_broken(
    fake_engine: FakeEngine, own_broker: OwnBroker, watch: Watch, tables: dict[str, Any], code: int
) -> None:
    """The exit code says which part it is; no secret is shown."""
    running = watch(fake_engine, own_broker(), "check", **tables)
    assert running.wait() == code
    assert SECRET not in running.log + "\n".join(running.output)


def test_bad_configuration_ends_the_agent_at_once(fake_engine: FakeEngine, own_broker: OwnBroker, watch: Watch) -> None:
    """All mistakes, and exit 2; nothing is started."""
    running = watch(fake_engine, own_broker(), agent={"intervall": 1}, outbox={"capacity": 0})
    assert running.wait() == 2
    assert "did you mean agent.interval?" in running.log
    assert "outbox.capacity is 0" in running.log


def test_sigterm_while_the_agent_starts_ends_it_with_0(short_path: Path, fake_engine: FakeEngine) -> None:
    """SIGTERM is understood from the first moment on: there too it is the wish for an orderly end, and 0."""
    slow = short_path / "slow.toml"
    os.mkfifo(slow)  # reading it takes until somebody has written it
    command = [sys.executable, "-m", "agent", "run", "--dry-run", "--config", str(slow)]
    with subprocess.Popen(bound_to_us(command), stderr=subprocess.PIPE, text=True) as starting:
        with slow.open("w") as configuration:
            starting.send_signal(signal.SIGTERM)
            configuration.write(f'[engine]\nurl = "{fake_engine.url}"\n')
        _, log = starting.communicate()
    assert starting.returncode == 0
    assert "ended: 0 usages" in log


def test_health_says_whether_the_agent_publishes(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, agent: Agent, view: View
) -> None:
    """Well while it publishes, not well when the broker is away or no agent runs."""
    broker = own_broker()
    viewer = view(broker)
    engine.run(name="web")
    host = {"agent": {"host": "h"}}
    running = watch(engine, broker)
    viewer.usages("web", count=2)
    assert any(agent(host, "health").wait() == 0 for _ in range(40)), "it looks at itself every second"
    broker.kill()
    running.wait_for_line("nobody listens there")
    viewer.close()

    def unwell() -> bool:
        asked = agent(host, "health")
        return asked.wait() == 1 and "nobody listens there" in "\n".join(asked.output)

    assert any(unwell() for _ in range(40)), "it looks at itself every second"
    assert running.stop() == 0
    assert agent(host, "health").wait() == 1


def test_schema_needs_neither_engine_nor_broker(agent: Agent) -> None:
    """What needs neither engine nor broker works without them."""
    schema = agent({}, "schema")
    assert schema.wait() == 0
    assert "Usage" in json.loads("\n".join(schema.output))["$defs"]


def test_embedded_broker_serves_or_says_that_its_port_is_taken(engine: PrivateEngine, agent: Agent) -> None:
    """`broker.url = "embedded"` needs nothing else; if somebody has the port already, that is said."""
    engine.run(name="web")
    config = {"agent": {"host": "h", "interval": 1}, "engine": {"url": engine.url}, "broker": {"url": "embedded"}}
    running = agent(config, "run", "--once")
    code = running.wait(60)
    assert (code, "in use" in running.log) in [(0, False), (1, True)]
