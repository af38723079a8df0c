"""`usage-agent forget` clears what the agent of a host has left retained, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.subscriber import Subscriber, retained
from support.fakes.engine import FakeEngine
from support.fakes.scripted_broker import SUBSCRIBE, ScriptedBroker, accept_all, suback

from agent.mqtt.reason_codes import ReasonCode

StartAgent = Callable[..., RunningAgent]
OwnBroker = Callable[..., Mosquitto]
Agent = Callable[..., RunningAgent]

STOPPED = json.dumps({"status": "stopped"})


def fill(broker: Mosquitto, *topics: str, payload: str = STOPPED) -> None:
    """Retain a payload on these topics."""
    publisher = Subscriber(broker.url, "nothing")
    for topic in topics:
        publisher.publish(topic, payload, retain=True)
    publisher.close()


def run_forget(agent: Agent, url: str, *arguments: str, protocol: str = "auto") -> RunningAgent:
    """Run the command to its end."""
    running = agent({"agent": {"host": "h"}, "broker": {"url": url, "protocol": protocol}}, "forget", *arguments)
    running.wait()
    return running


def test_statuses_are_cleared_once_the_agent_has_ended(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent
) -> None:
    """While the agent runs nothing is cleared. Afterwards `--dry-run` only lists, and then all are cleared."""
    broker = own_broker()
    fake_engine.run("web")
    fake_engine.run("db")
    running = start_agent(fake_engine, broker)
    subscriber = Subscriber(broker.url, "containers/#")
    subscriber.on("containers/h/web/usage")
    subscriber.on("containers/h/db/usage")
    subscriber.close()
    topics = ["containers/h/db/status", "containers/h/web/status", "containers/h/status"]

    refused = start_agent(fake_engine, broker, "forget")
    assert refused.wait() == 2
    assert "the agent of host h runs" in refused.log
    assert retained(broker.url).keys() == set(topics)

    assert running.stop() == 0
    listed = start_agent(fake_engine, broker, "forget", "--dry-run")
    assert listed.wait() == 0
    assert [line.split()[-1] for line in listed.output[:-1]] == topics
    assert retained(broker.url).keys() == set(topics)

    cleared = start_agent(fake_engine, broker, "forget")
    assert cleared.wait() == 0
    assert [line.split() for line in cleared.output] == [["cleared", topic] for topic in topics]
    assert retained(broker.url) == {}


def test_other_hosts_and_messages_of_others_are_left_alone(own_broker: OwnBroker, agent: Agent) -> None:
    """Only statuses below the host's topics are cleared: a base may be shared with other programs."""
    broker = own_broker()
    fill(broker, "containers/old/status", "containers/old/shop/web/status", "containers/older/status")
    fill(broker, "containers/old/lamp", "containers/old/status/lamp")
    fill(broker, "containers/old/lamp/status", payload="on")
    running = run_forget(agent, broker.url, "--host", "old")
    assert running.wait() == 0
    others = {"containers/old/lamp", "containers/old/status/lamp", "containers/old/lamp/status"}
    assert retained(broker.url).keys() == {"containers/older/status", *others}
    for topic in others:
        assert any(line.startswith("left alone") and topic in line for line in running.output)


def test_host_is_made_safe_as_in_topics(own_broker: OwnBroker, agent: Agent) -> None:
    """The host is given as it was configured, and cleared where its agent has published."""
    broker = own_broker()
    fill(broker, "containers/a_b/status")
    assert run_forget(agent, broker.url, "--host", "a/b").wait() == 0
    assert retained(broker.url) == {}


def test_hundreds_of_statuses_are_cleared(own_broker: OwnBroker, agent: Agent) -> None:
    """More messages than may be in flight at once are cleared."""
    broker = own_broker()
    fill(broker, "containers/old/status", *(f"containers/old/c{number}/status" for number in range(300)))
    running = run_forget(agent, broker.url, "--host", "old")
    assert (running.wait(), len(running.output)) == (0, 301)
    assert retained(broker.url) == {}


def test_host_without_statuses_is_told(own_broker: OwnBroker, agent: Agent) -> None:
    """If nothing is retained of a host, its name and the topics are printed: the name may be mistyped."""
    running = run_forget(agent, own_broker().url, "--host", "odl")
    assert running.wait() == 0
    assert "no retained messages of host odl" in running.output[-1]
    assert "containers/odl/#" in running.output[-1]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_account_that_may_not_publish_is_told(
    own_broker: OwnBroker, agent: Agent, short_path: Path, protocol: str
) -> None:
    """What is still there afterwards was not cleared, even if the broker has acknowledged it (MQTT 3.1.1)."""
    rules = short_path / "rules"
    rules.write_text("topic read containers/#\ntopic readwrite end-of-retained/#\n")
    store = f"persistence_location {short_path}/"
    filling = own_broker("persistence true", store)
    fill(filling, "containers/old/status")
    filling.stop()
    broker = own_broker("persistence true", store, f"acl_file {rules}")
    running = run_forget(agent, broker.url, "--host", "old", protocol=protocol)
    assert running.wait() == 4
    assert "not cleared: containers/old/status" in running.log
    assert "access rules" in running.log
    assert retained(broker.url, "containers/#").keys() == {"containers/old/status"}


def test_account_that_may_not_read_is_told(scripted_broker: ScriptedBroker, agent: Agent) -> None:
    """Without reading it is not known what is left: that is no success."""
    scripted_broker.answer = lambda packet: (
        suback(packet, ReasonCode.NOT_AUTHORIZED) if packet.kind == SUBSCRIBE else accept_all(packet)
    )
    running = run_forget(agent, scripted_broker.url, "--host", "old")
    assert running.wait() == 4
    assert "does not let this account read containers/old/#" in running.log


def test_exit_code_names_what_is_wrong(agent: Agent) -> None:
    """4 without a broker, 2 for a wrong configuration or a host that is empty, such as a variable without a value."""
    assert run_forget(agent, f"mqtt://127.0.0.1:{free_port()}").wait() == 4
    assert run_forget(agent, "no-url").wait() == 2
    assert run_forget(agent, f"mqtt://127.0.0.1:{free_port()}", "--host", "").wait() == 2
