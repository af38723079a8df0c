"""`usage-agent migrate-discovery` on a real broker, with what a real docker2mqtt has retained there."""

import json
from pathlib import Path

import pytest
from support.daemons.mosquitto import free_port
from support.daemons.subscriber import Subscriber, retained

from agent.home_assistant.docker2mqtt import COUNTERPARTS
from home_assistant.docker2mqtt import CONTAINERS, PREFIX, discovery, recorded
from home_assistant.migrating import (
    BACKUP,
    DEVICE,
    HEALTH,
    KEPT,
    Agent,
    OwnBroker,
    config,
    fill,
    kept_in,
    migrate,
)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_entities_are_taken_over_and_given_back(own_broker: OwnBroker, agent: Agent, version: str) -> None:
    """Before the first start of the agent: docker2mqtt's messages make way for devices, and come back as they were."""
    broker = own_broker()
    before = recorded("2.6.1")
    fill(broker, before)
    running = migrate(agent, broker.url, broker={"url": broker.url, "protocol": version})
    assert running.wait() == 0, running.log
    lines = [line.split(":")[0].split() for line in running.output if line.startswith("keeps")]
    assert {topic for _, topic in lines} == KEPT.keys()
    assert sum(line.startswith("left alone") for line in running.output) == len(HEALTH)
    assert any("44 with a counterpart, 4 without" in line for line in running.output)

    after = retained(broker.url)
    assert not after.keys() & KEPT.keys()
    assert {topic: after[topic] for topic in HEALTH} == {topic: before[topic] for topic in HEALTH}
    assert {topic: after[topic] for topic in after if topic.startswith("docker/")} == {
        topic: before[topic] for topic in before if topic.startswith("docker/")
    }
    devices = [payload for topic, payload in after.items() if topic.startswith(f"{PREFIX}/device/")]
    assert len(devices) == len(CONTAINERS)
    assert set().union(*map(kept_in, devices)) == {json.loads(payload)["unique_id"] for payload in KEPT.values()}

    assert migrate(agent, broker.url, "--undo").wait() == 0
    restored = retained(broker.url)
    assert {topic: restored.get(topic) for topic in before} == before
    assert not any(topic.endswith("/docker2mqtt") for topic in restored)
    assert not any(kept_in(payload) for topic, payload in restored.items() if topic.startswith(f"{PREFIX}/device/"))


@pytest.mark.parametrize("options", [(), ("--undo",)])
def test_dry_run_changes_nothing(own_broker: OwnBroker, agent: Agent, options: tuple[str, ...]) -> None:
    """`--dry-run` says what would happen, and publishes nothing, not even what would be the same."""
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    if options:
        migrate(agent, broker.url)
    before = retained(broker.url)
    watching = Subscriber(broker.url, "#")
    running = migrate(agent, broker.url, "--dry-run", *options)
    assert running.wait() == 0, running.log
    assert sum(line.startswith("would ") for line in running.output) == len(KEPT)
    watching.publish("end", b"")
    watching.on("end")
    watching.close()
    assert [message for message in watching.messages if not message.retain and message.topic != "end"] == []
    assert retained(broker.url) == before


def test_excluded_container_is_left_alone(own_broker: OwnBroker, agent: Agent) -> None:
    """The agent would remove the device of a container that it does not publish, and with it what was taken over."""
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    running = migrate(agent, broker.url, engine={"exclude": ["sick"]})
    assert running.wait() == 0
    left = [line for line in running.output if line.startswith("left alone") and "the agent has no container" in line]
    assert len(left) == len(COUNTERPARTS)
    devices = {topic for topic in retained(broker.url) if topic.startswith(f"{PREFIX}/device/")}
    assert devices == {f"{PREFIX}/device/usage-agent_nas_{name}/config" for name in ("web", "db_main", "job")}


def test_known_containers_are_taken_from_the_statuses(own_broker: OwnBroker, agent: Agent) -> None:
    """An agent that ran without Home Assistant has told by its statuses which containers there are."""
    broker = own_broker()
    status = {"status": "stopped", "reason": "agent exit", "container": {"name": "web"}}
    excluded = {"status": "stopped", "reason": "excluded", "container": {"name": "sick"}}
    statuses = {"containers/nas/shop-web/status": status, "containers/nas/sick/status": excluded}
    fill(broker, recorded("2.6.1") | {topic: json.dumps(payload).encode() for topic, payload in statuses.items()})
    assert migrate(agent, broker.url).wait() == 0
    (device,) = [payload for topic, payload in retained(broker.url).items() if topic.startswith(f"{PREFIX}/device/")]
    assert json.loads(device)["state_topic"] == "containers/nas/shop-web/usage"


def test_order_is_that_of_home_assistant(own_broker: OwnBroker, agent: Agent) -> None:
    """Each old topic gets `migrate_discovery`, then the device is announced, then the old topic is cleared."""
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    watching = Subscriber(broker.url, "#")
    assert migrate(agent, broker.url).wait() == 0
    cpu = f"{PREFIX}/sensor/docker/nas_web_cpu_stats/config"
    watching.wait_for_on(cpu, lambda message: not message.payload, 20, 1, 0)
    watching.close()
    published = [
        message for message in watching.messages if not message.retain and message.topic in (cpu, DEVICE, BACKUP)
    ]
    assert [message.topic for message in published] == [BACKUP, cpu, DEVICE, cpu]
    assert published[1].json == {"migrate_discovery": True}
    assert published[3].payload == b""


def test_other_host_has_to_be_named(own_broker: OwnBroker, agent: Agent) -> None:
    """docker2mqtt may call the host by another name: nothing is taken over by guess."""
    broker = own_broker()
    fill(broker, recorded("2.6.1"))
    before = retained(broker.url)
    attic = {**config(broker.url), "agent": {"host": "attic"}}
    command = ("migrate-discovery", "--from", "docker2mqtt")
    refused = agent(attic, *command)
    assert refused.wait() == 2
    assert "--host: nas" in refused.log
    assert retained(broker.url) == before
    assert agent(attic, *command, "--host", "nas").wait() == 0
    assert f"{PREFIX}/device/usage-agent_attic_web/config" in retained(broker.url)


def test_what_is_still_to_be_done_is_told(own_broker: OwnBroker, agent: Agent) -> None:
    """docker2mqtt that still runs, and an agent that does not, are named."""
    broker = own_broker()
    fill(broker, recorded("2.6.1") | {"docker/nas/status": b"online"})
    running = migrate(agent, broker.url)
    assert any("docker/nas/status" in line and "stop docker2mqtt" in line for line in running.output)
    assert any(line.startswith("start the agent") for line in running.output)


def test_nothing_to_migrate_is_no_failure(own_broker: OwnBroker, agent: Agent) -> None:
    """Without docker2mqtt, and with other programs' messages and rubbish, nothing is done, and that is told."""
    broker = own_broker()
    rubbish = {
        f"{PREFIX}/sensor/x/y/config": b"{",
        f"{PREFIX}/device/z/config": b"[]",
        "containers/nas/web/docker2mqtt": b"1",
    }
    fill(broker, rubbish)
    running = migrate(agent, broker.url)
    assert running.wait() == 0
    assert any(line.startswith("no entities of docker2mqtt") for line in running.output)
    assert migrate(agent, broker.url, "--undo").wait() == 0
    assert retained(broker.url) == rubbish


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_account_without_the_right_changes_nothing(
    own_broker: OwnBroker, agent: Agent, short_path: Path, protocol: str
) -> None:
    """A broker that does not take docker2mqtt's topics from this account: the devices are not announced either."""
    rules = short_path / "rules"
    rules.write_text(f"topic readwrite containers/#\ntopic read {PREFIX}/#\ntopic readwrite end-of-retained/#\n")
    store = f"persistence_location {short_path}/"
    filling = own_broker("persistence true", store)
    fill(filling, recorded("2.6.1"))
    filling.stop()
    broker = own_broker("persistence true", store, f"acl_file {rules}")
    running = migrate(agent, broker.url, broker={"url": broker.url, "protocol": protocol})
    assert running.wait() == 4
    assert f"has not taken a message on {PREFIX}/" in running.log
    assert "access rules" in running.log
    assert retained(broker.url, f"{PREFIX}/#") == discovery("2.6.1")


def test_exit_codes(own_broker: OwnBroker, agent: Agent) -> None:
    """2 while Home Assistant is not enabled, without --from, or for a wrong configuration; 4 without a broker."""
    url = own_broker().url
    disabled = migrate(agent, url, home_assistant={"enabled": False})
    assert disabled.wait() == 2
    assert "home_assistant.enabled is false" in disabled.log
    assert migrate(agent, url, "--dry-run", home_assistant={"enabled": False}).wait() == 0
    assert agent(config(url), "migrate-discovery").wait() == 2
    assert migrate(agent, "no-url").wait() == 2
    assert migrate(agent, f"mqtt://127.0.0.1:{free_port()}").wait() == 4
