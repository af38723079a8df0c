"""What Home Assistant shows of real containers: values, classes, units, statistics; and that it never complains."""

import re
from collections.abc import Callable, Iterable
from functools import partial, reduce
from typing import Any

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Subscriber
from support.fakes.engine import FakeEngine
from support.home_assistant.installation import NEWEST
from support.home_assistant.server import HomeAssistant

from agent.home_assistant.entities import CONTAINER_ENTITIES, HOST_ENTITIES, MACHINE_ENTITIES, Entity

StartAgent = Callable[..., RunningAgent]
Subscribe = Callable[..., Subscriber]

ENABLED = {"enabled": True}
UNAVAILABLE = "unavailable"
UNKNOWN = "unknown"


def start(
    start_agent: StartAgent, fake: Any, subject: HomeAssistant, /, host: str, **tables: dict[str, Any]
) -> RunningAgent:
    """Start an agent with discovery, of a host that no other test uses."""
    return start_agent(fake, subject.broker, agent={"host": host}, **{"home_assistant": ENABLED, **tables})


def shows(home_assistant: HomeAssistant, **states: str) -> None:
    """Wait until entities have these states; in the names `__` stands for a dot."""
    expected = {name.replace("__", "."): state for name, state in states.items()}

    def found() -> bool:
        present = home_assistant.states()
        return all(present.get(name, {}).get("state") == state for name, state in expected.items())

    wait_until(found, PATIENCE, f"other states than {expected}")


def value(payload: Any, entity: Entity) -> Any:
    """Return what an entity shows of a message; None if the message lacks it."""
    if entity.key == "throttled_time":
        nanoseconds = payload.get("cpu", {}).get("throttled_time")
        return None if nanoseconds is None else nanoseconds / 1e9
    *parents, leaf = entity.path.split(".")
    return reduce(lambda part, name: part.get(name, {}), parents, payload).get(leaf)


def is_shown(home_assistant: HomeAssistant, entity_id: str, values: list[Any]) -> bool:
    """Return whether an entity shows one of these values; unknown stands for None."""
    state = home_assistant.state(entity_id)
    if state in (None, UNKNOWN, UNAVAILABLE):
        return state == UNKNOWN and None in values
    return any(abs(float(str(state)) - number) < 1e-6 for number in values if number is not None)


def test_every_entity_has_its_value(
    engine: PrivateEngine, home_assistant: HomeAssistant, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """Busy, limited, stopped and unhealthy containers, and the host: values, units and classes are right."""
    engine.run("sh", "-c", "while :; do :; done", name="busy", memory="64m", cpus="0.2")
    engine.run("sh", "-c", "exit 3", name="stopped")
    engine.run("sleep", "inf", name="sick", health_cmd="false", health_interval="1s", health_retries=1)
    subscriber = subscribe(home_assistant.broker.url, "containers/values/#")
    start(start_agent, engine, home_assistant, "values")
    shows(
        home_assistant,
        sensor__values_busy_state="running",
        binary_sensor__values_busy_running="on",
        sensor__values_stopped_state="exited",
        sensor__values_stopped_exit_code="3",
        binary_sensor__values_stopped_running="off",
        binary_sensor__values_stopped_oom="off",
        sensor__values_stopped_cpu=UNAVAILABLE,
        sensor__values_busy_memory_limit=str(64 << 20),
        binary_sensor__values_sick_health="on",
        sensor__values_containers_running="2",
        sensor__values_containers_stopped="1",
        sensor__values_containers_unhealthy="1",
        binary_sensor__values_running="on",
    )
    assert home_assistant.state("binary_sensor.values_busy_health") is None
    check_values(home_assistant, subscriber, "containers/values/busy/usage", "values_busy", CONTAINER_ENTITIES)
    check_values(home_assistant, subscriber, "containers/values/agent", "values", HOST_ENTITIES + MACHINE_ENTITIES)
    check_attributes(home_assistant, "values")
    assert home_assistant.devices()["usage-agent_values_busy"]["via_device_id"] is not None
    assert home_assistant.complaints() == []


def check_values(
    home_assistant: HomeAssistant, subscriber: Subscriber, topic: str, device: str, entities: Iterable[Entity]
) -> None:
    """Check that each entity that reads a topic shows what was published there."""

    def is_right(entity: Entity) -> bool:
        newest = [value(message.json, entity) for message in subscriber.on(topic)[-5:]]
        return is_shown(home_assistant, f"sensor.{device}_{entity.key}", newest)

    for entity in entities:
        if entity.origin != "status" and not entity.shows_network:
            wait_until(partial(is_right, entity), PATIENCE, f"{entity.key} does not show what was published")


def check_attributes(home_assistant: HomeAssistant, host: str) -> None:
    """Check classes and units of all entities of a host against the tables."""
    states = home_assistant.states()
    tables = {"busy": CONTAINER_ENTITIES, "stopped": CONTAINER_ENTITIES, "": HOST_ENTITIES + MACHINE_ENTITIES}
    for container, entities in tables.items():
        for entity in entities:
            entity_id = "_".join(filter(None, (f"{entity.platform}.{host}", container, entity.key)))
            if entity.shows_network or entity.key == "health":
                continue
            attributes = states[entity_id]["attributes"]
            assert attributes.get("device_class") == entity.device_class
            assert attributes.get("state_class") == entity.state_class
            assert attributes.get("unit_of_measurement") == entity.unit


def test_statistics_accept_every_number(
    fake_engine: FakeEngine, home_assistant: HomeAssistant, start_agent: StartAgent
) -> None:
    """Each entity with a state class has long-term statistics, and the recorder finds nothing wrong with them.

    The fake's containers use no disk, are not throttled, and do not end.
    """
    fake_engine.run("web")
    start(start_agent, fake_engine, home_assistant, "statistics")
    shows(home_assistant, sensor__statistics_web_state="running")
    numbers = {
        f"sensor.statistics_web_{entity.key}"
        for entity in CONTAINER_ENTITIES
        if entity.state_class and not re.match("disk_|throttled_|exit_code|cpu_ticks", entity.key)
    }
    wait_until(
        lambda: not {name for name in numbers if home_assistant.state(name) in (None, UNKNOWN, UNAVAILABLE)},
        PATIENCE,
        "numbers without a state",
    )
    compiled = home_assistant.compile_statistics()
    assert numbers <= compiled.keys()
    issues = home_assistant.statistics_issues()
    assert not {name: issue for name, issue in issues.items() if "statistics_web" in name}


def test_no_complaint_whatever_happens(
    fake_engine: FakeEngine, home_assistant: HomeAssistant, start_agent: StartAgent
) -> None:
    """Recreation, rename, death, removal, exclusion, restarts of all three, and the end of discovery."""
    web, db = fake_engine.run("web"), fake_engine.run("db", health="healthy")
    forget = {"forget_removed": 1}
    agent = start(start_agent, fake_engine, home_assistant, "life", topics=forget)
    shows(home_assistant, sensor__life_web_state="running", binary_sensor__life_db_health="off")
    entity = home_assistant.entities()["sensor.life_web_cpu"]

    fake_engine.destroy(web)
    web = fake_engine.run("web", image="other")
    shows(home_assistant, sensor__life_web_state="running", binary_sensor__life_web_running="on")
    assert home_assistant.entities()["sensor.life_web_cpu"]["id"] == entity["id"]

    fake_engine.rename(web, "api")
    shows(home_assistant, sensor__life_api_state="running")
    wait_until(lambda: "usage-agent_life_web" not in home_assistant.devices(), PATIENCE, "the old name stays")

    fake_engine.die(db, 137)
    shows(home_assistant, sensor__life_db_state="exited", sensor__life_db_cpu=UNAVAILABLE)

    agent.kill()
    shows(home_assistant, binary_sensor__life_running="off", sensor__life_api_state=UNAVAILABLE)
    fake_engine.destroy(db)
    agent = start(start_agent, fake_engine, home_assistant, "life", topics=forget)
    wait_until(lambda: "usage-agent_life_db" not in home_assistant.devices(), PATIENCE, "the removed one stays")
    shows(home_assistant, binary_sensor__life_running="on", sensor__life_api_state="running")

    home_assistant.restart()
    shows(home_assistant, binary_sensor__life_running="on", sensor__life_api_state="running")
    home_assistant.broker.restart()
    shows(home_assistant, binary_sensor__life_running="on", sensor__life_api_state="running")

    agent.stop()
    shows(home_assistant, binary_sensor__life_running="off", sensor__life_api_cpu=UNAVAILABLE)
    agent = start(start_agent, fake_engine, home_assistant, "life", engine={"exclude": ["api"]})
    wait_until(lambda: "usage-agent_life_api" not in home_assistant.devices(), PATIENCE, "the excluded one stays")
    agent.stop()
    start(start_agent, fake_engine, home_assistant, "life", home_assistant={"enabled": False})
    wait_until(lambda: not home_assistant.devices(), PATIENCE, "devices stay")
    assert home_assistant.complaints() == []


@pytest.mark.parametrize("home_assistant", [NEWEST], indirect=True, ids=lambda version: f"home-assistant-{version}")
def test_two_hundred_containers_are_known_at_once(
    fake_engine: FakeEngine, home_assistant: HomeAssistant, start_agent: StartAgent
) -> None:
    """Discovery of many containers leaves in one go, and Home Assistant says nothing about it.

    The recorder leaves this host out: on a small machine it would be busy with it for minutes.
    """
    for number in range(200):
        fake_engine.run(f"many{number:03}")
    start(start_agent, fake_engine, home_assistant, "crowd")
    wait_until(lambda: len(home_assistant.devices()) == 201, PATIENCE, "not all devices are known")
    names = [f"sensor.crowd_many{number:03}_state" for number in range(200)]
    wait_until(
        lambda: {home_assistant.states().get(name, {}).get("state") for name in names} == {"running"},
        PATIENCE,
        "not all states are known",
    )
    assert home_assistant.complaints() == []
    assert all(re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", name) for name in home_assistant.entities())
