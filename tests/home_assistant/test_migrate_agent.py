"""`usage-agent migrate-discovery` beside the agent: one that runs, one that starts later, one that is forgotten."""

import time

import pytest
from support.daemons.processes import wait_until
from support.daemons.subscriber import Subscriber, retained
from support.fakes.engine import FakeEngine

from agent.home_assistant.docker2mqtt import COUNTERPARTS
from home_assistant.docker2mqtt import PREFIX, recorded
from home_assistant.migrating import (
    BACKUP,
    DEVICE,
    KEPT,
    Agent,
    OwnBroker,
    StartAgent,
    config,
    fill,
    kept_in,
    migrate,
    unique_ids,
)


def test_agent_keeps_the_ids(
    own_broker: OwnBroker, agent: Agent, fake_engine: FakeEngine, start_agent: StartAgent
) -> None:
    """An agent that starts afterwards announces the complete device under the ids that were taken over, each time."""
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    assert migrate(agent, broker.url).wait() == 0
    before = unique_ids(retained(broker.url)[DEVICE])
    fake_engine.run("web")
    for _ in range(2):
        watching = Subscriber(broker.url, DEVICE)
        running = start_agent(fake_engine, broker, agent={"host": "nas"}, home_assistant={"enabled": True})
        (announced,) = watching.wait_for(lambda message: not message.retain)
        watching.close()
        now = unique_ids(announced.payload)
        assert {key: now[key] for key in before if key in now} == {key: before[key] for key in before if key in now}
        assert now["memory_limit"] == "usage-agent_nas_web_memory_limit"
        assert now["cpu"] == before["cpu"]
        assert running.stop() == 0


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_running_agent_takes_part(
    own_broker: OwnBroker, agent: Agent, fake_engine: FakeEngine, start_agent: StartAgent, version: str
) -> None:
    """An agent that has announced its own entities goes on with the ids taken over, also when it announces again.

    Its entities that are replaced are removed first. What it measures is what can be taken over.
    """
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    fake_engine.run("web")
    protocol = {"url": broker.url, "protocol": version}
    start_agent(fake_engine, broker, agent={"host": "nas"}, home_assistant={"enabled": True}, broker=protocol)
    wait_until(lambda: DEVICE in retained(broker.url), 20, "the agent announces")
    watching = Subscriber(broker.url, DEVICE)
    running = migrate(agent, broker.url, broker=protocol)
    assert running.wait() == 0, running.log
    removal = watching.on(DEVICE, count=2)[1].json["components"]
    assert removal["cpu"] == {"platform": "sensor"}
    watching.close()

    def kept() -> bool:
        return unique_ids(retained(broker.url)[DEVICE])["cpu"].startswith("docker_")

    assert kept()
    birth = Subscriber(broker.url, DEVICE)
    birth.publish(f"{PREFIX}/status", "online")
    birth.wait_for(lambda message: not message.retain)
    birth.close()
    assert kept()
    others = [topic for topic in retained(broker.url) if "nas_sick" in topic and topic.startswith(PREFIX)]
    assert len(others) == len(COUNTERPARTS) + 1  # of a container that the agent does not know nothing has changed

    assert migrate(agent, broker.url, "--undo", broker=protocol).wait() == 0
    assert unique_ids(retained(broker.url)[DEVICE])["cpu"] == "usage-agent_nas_web_cpu"


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("options", [(), ("--undo",)])
def test_agent_announces_nothing_meanwhile(
    own_broker: OwnBroker,
    agent: Agent,
    fake_engine: FakeEngine,
    start_agent: StartAgent,
    options: tuple[str, ...],
    version: str,
) -> None:
    """If Home Assistant starts during a migration, the agent does not send what it knew, and afterwards what is new."""
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    fake_engine.run("web")
    protocol = {"url": broker.url, "protocol": version}
    start_agent(fake_engine, broker, agent={"host": "nas"}, home_assistant={"enabled": True}, broker=protocol)
    wait_until(lambda: DEVICE in retained(broker.url), 20, "the agent announces")
    if options:
        assert migrate(agent, broker.url).wait() == 0
    stale = unique_ids(retained(broker.url)[DEVICE])["cpu"]
    host = f"{PREFIX}/device/usage-agent_nas/config"
    watching = Subscriber(broker.url, DEVICE, host)
    running = agent(config(broker.url), "migrate-discovery", "--from", "docker2mqtt", *options)
    watching.wait_for(lambda message: message.topic == host and not message.retain)
    watching.publish(f"{PREFIX}/status", "online")
    assert running.wait() == 0, running.log
    written = time.monotonic()
    watching.on(DEVICE, after=written)  # the agent answers the birth message, late
    watching.close()
    news = [message for message in watching.by_topic[DEVICE] if not message.retain and b"components" in message.payload]
    assert stale not in [unique_ids(message.payload).get("cpu") for message in news]
    assert bool(kept_in(news[-1].payload)) == (not options)


def test_interrupted_migration_is_finished_by_another(own_broker: OwnBroker, agent: Agent) -> None:
    """If it ended between two steps, running it again does what is left, and loses nothing."""
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    assert migrate(agent, broker.url).wait() == 0
    done = retained(broker.url)
    fill(broker, dict.fromkeys(KEPT, b'{"migrate_discovery": true}'))
    assert migrate(agent, broker.url).wait() == 0
    assert retained(broker.url) == done


def test_forgotten_host_has_no_backup(own_broker: OwnBroker, agent: Agent) -> None:
    """`usage-agent forget` clears what the migration has kept for `--undo`, too."""
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    assert migrate(agent, broker.url).wait() == 0
    assert BACKUP in retained(broker.url)
    assert agent(config(broker.url), "forget").wait() == 0
    assert BACKUP not in retained(broker.url)
