"""`usage-agent migrate-discovery` with a real Home Assistant, which has entities of docker2mqtt with a history."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Subscriber
from support.fakes.engine import FakeEngine
from support.home_assistant.server import HomeAssistant

from home_assistant.docker2mqtt import recorded

Publish = Callable[..., None]
StartAgent = Callable[..., RunningAgent]

CPU, MEMORY, STATE = "sensor.nas_docker_web_cpu", "sensor.nas_docker_web_memory", "binary_sensor.nas_docker_web_state"
OLD = {CPU: "12.5", MEMORY: "34.25", STATE: "on"}
"""Entities that are to be kept, and what docker2mqtt says of them."""

STATS = {"cpu": 12.5, "memoryused": 34.25, "netinput": 1.5, "netoutput": 2.5}


def has(home_assistant: HomeAssistant, states: dict[str, str]) -> bool:
    """Return whether Home Assistant has these states."""
    return {entity_id: home_assistant.state(entity_id) for entity_id in states} == states


def shows_the_agent(home_assistant: HomeAssistant) -> bool:
    """Return whether the entities show values of the agent."""
    states = {entity_id: home_assistant.state(entity_id) for entity_id in OLD}
    return states[STATE] == "on" and all(
        is_number(value) and value != OLD[entity_id] for entity_id, value in states.items() if entity_id != STATE
    )


def is_number(state: str | None) -> bool:
    """Return whether a state is a number, and not one of the words for a missing value."""
    return state is not None and state.replace(".", "", 1).isdigit()


def device_of(home_assistant: HomeAssistant, entity_id: str) -> str:
    """Return the name of the device that an entity belongs to."""
    device_id = home_assistant.entities()[entity_id]["device_id"]
    names = {device["id"]: str(device["name"]) for device in home_assistant.devices().values()}
    return names[device_id]


@pytest.fixture
def docker2mqtt(home_assistant: HomeAssistant, publish: Publish) -> Callable[[], None]:
    """Return a function that publishes docker2mqtt's values once more; its entities are there, with a first value."""
    of_web = {topic: payload for topic, payload in recorded("2.6.1").items() if "web" in topic}
    for topic, payload in (of_web | {"docker/nas/status": b"online"}).items():
        publish(topic, payload.decode(), retain=True)

    def say() -> None:
        publish("docker/nas/web/stats", json.dumps(STATS))

    wait_until(lambda: home_assistant.state(CPU) == "unknown", PATIENCE, "the entities of docker2mqtt are not there")
    home_assistant.settle()
    say()
    wait_until(lambda: has(home_assistant, OLD), PATIENCE, "docker2mqtt's values are not there")
    return say


@pytest.fixture
def command(home_assistant: HomeAssistant, start_agent: StartAgent, fake_engine: FakeEngine) -> StartAgent:
    """Return a function that starts an agent of host `nas`, or runs one of its commands to its end."""
    fake_engine.run("web")

    def run(*arguments: str) -> RunningAgent:
        enabled: dict[str, dict[str, Any]] = {"agent": {"host": "nas"}, "home_assistant": {"enabled": True}}
        running = start_agent(fake_engine, home_assistant.broker, *arguments, **enabled)
        if arguments:
            assert running.wait() == 0, running.log
        return running

    return run


MIGRATE = ("migrate-discovery", "--from", "docker2mqtt")


@pytest.mark.parametrize("agent_runs", [False, True])
def test_history_goes_on(
    home_assistant: HomeAssistant,
    docker2mqtt: Callable[[], None],
    command: StartAgent,
    subscribe: Callable[..., Subscriber],
    agent_runs: bool,
) -> None:
    """Entity ids, ids and history stay, with the agent's values, whether the agent has its own entities already or not.

    The unit stays MB; the values are converted. It stays so over a restart of Home Assistant and of the agent, and
    ends with `--undo`. All that without a complaint.
    """
    ids = {entity_id: home_assistant.entities()[entity_id]["unique_id"] for entity_id in OLD}
    running = command() if agent_runs else None
    if agent_runs:
        wait_until(
            lambda: is_number(home_assistant.state("sensor.nas_web_cpu")),
            PATIENCE,
            "the agent's own entities have no values",
        )
        command(*MIGRATE, "--dry-run")
        assert has(home_assistant, OLD)
    command(*MIGRATE)
    running = running or command()
    wait_until(lambda: shows_the_agent(home_assistant), PATIENCE, "the agent's values are not there")

    entities = home_assistant.entities()
    assert {entity_id: entities[entity_id]["unique_id"] for entity_id in OLD} == ids
    assert {device_of(home_assistant, entity_id) for entity_id in OLD} == {"web"}
    assert not entities.keys() & {"sensor.nas_web_cpu", "sensor.nas_web_memory_used", "binary_sensor.nas_web_running"}
    attributes = home_assistant.states()[MEMORY]["attributes"]
    assert (attributes["unit_of_measurement"], attributes["state_class"]) == ("MB", "measurement")
    assert float(home_assistant.state(MEMORY) or 0) < 1000  # and not bytes
    for entity_id in (CPU, MEMORY):  # the recorder may be a moment behind
        wait_until(
            lambda: is_number((history := home_assistant.history(entity_id))[-1]) and history[-1] != OLD[entity_id],  # noqa: B023
            PATIENCE,
            f"the history of {entity_id} does not go on",
        )
        history = home_assistant.history(entity_id)
        assert OLD[entity_id] in history[: history.index(history[-1])]

    announced = subscribe(home_assistant.broker.url, "homeassistant/device/usage-agent_nas_web/config")
    for restart in (home_assistant.restart, lambda: running.stop() or command()):
        before = time.monotonic()
        restart()
        # The agent answers Home Assistant's birth message, and announces its devices when it starts.
        announced.wait_for(lambda message: not message.retain, after=before)
        home_assistant.settle()
        wait_until(lambda: shows_the_agent(home_assistant), PATIENCE, "the agent's values are not back")
    assert home_assistant.entities().keys() >= OLD.keys()
    assert {entity_id: home_assistant.entities()[entity_id]["unique_id"] for entity_id in OLD} == ids

    command(*MIGRATE, "--undo")
    home_assistant.settle()
    docker2mqtt()
    wait_until(lambda: has(home_assistant, OLD), PATIENCE, "docker2mqtt's values are not back")
    assert {device_of(home_assistant, entity_id) for entity_id in OLD} == {"nas Docker web"}
    assert {entity_id: home_assistant.entities()[entity_id]["unique_id"] for entity_id in OLD} == ids
    wait_until(
        lambda: is_number(home_assistant.state("sensor.nas_web_cpu")),
        PATIENCE,
        "the agent's own entities have no values",
    )
    assert home_assistant.complaints() == []
