"""Which entities of docker2mqtt are found, and what takes their place: on what real versions of it have published."""

import json
from collections import Counter

import pytest

from agent.home_assistant.discovery import Topics
from agent.home_assistant.docker2mqtt import COUNTERPARTS, find_entities
from agent.home_assistant.migration import (
    NewDevice,
    device_ids,
    make_device,
    match,
    own_ids,
    read_device,
    with_ids,
    without,
)
from agent.messages.topics import MessageBuilder
from home_assistant.docker2mqtt import CONTAINERS, PREFIX, VERSIONS, discovery, recorded

CPU = f"{PREFIX}/sensor/docker/nas_web_cpu_stats/config"
ID = f"docker_nas_{CPU}"


def devices(*names: str) -> list[NewDevice]:
    """Return devices that the agent has not announced yet."""
    return [
        make_device(
            device_id,
            f"{PREFIX}/device/{device_id}/config",
            name,
            name,
            "nas",
            Topics("containers/nas/status", f"containers/nas/{name}/status", f"containers/nas/{name}/usage"),
            interval=10,
        )
        for name, device_id in device_ids("nas", names).items()
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_entity_of_every_version_is_found(version: str) -> None:
    """Each discovery message is recognized; names with dots are those of the containers, not of the topics."""
    found = find_entities(PREFIX, recorded(version))
    assert {entity.topic for entity in found} == discovery(version).keys()
    assert {entity.container for entity in found} == set(CONTAINERS)
    assert {(entity.host, entity.status_topic) for entity in found} == {("nas", "docker/nas/status")}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_means_the_same_is_kept(version: str) -> None:
    """All that `docker stats` shows has a counterpart, and so has the state; health has the opposite meaning."""
    plan = match(find_entities(PREFIX, recorded(version)), devices(*CONTAINERS))
    for topic, moves in plan.moves.items():
        assert Counter(key for _, key in moves) == Counter(COUNTERPARTS.values()), topic
    assert len(plan.moves) == len(CONTAINERS)
    assert {entity.field for entity, _ in plan.left} == (set() if version == "2.3.1" else {"health"})
    assert plan.ids(f"{PREFIX}/device/usage-agent_nas_web/config")["cpu"] == ID


def test_units_can_be_converted() -> None:
    """A kept entity has the device class that it had, and a unit that Home Assistant converts to the old one."""
    convertible = {"%": "%", "MB": "B", "MB/s": "B/s", None: None}
    messages = recorded("2.6.1")
    (device,) = devices("web")
    (moves,) = match(find_entities(PREFIX, messages), [device]).moves.values()
    for entity, key in moves:
        old, new = json.loads(messages[entity.topic]), device.document["components"][key]
        assert new["platform"] == entity.platform
        assert new.get("device_class") == old.get("device_class"), key
        assert new.get("unit_of_measurement") == convertible[old.get("unit_of_measurement")], key


def test_container_that_the_agent_does_not_know_is_left_alone() -> None:
    """Entities of other containers stay docker2mqtt's, and the reason is told."""
    plan = match(find_entities(PREFIX, recorded("2.6.1")), devices("web"))
    assert {entity.container for moves in plan.moves.values() for entity, _ in moves} == {"web"}
    reasons = {reason for entity, reason in plan.left if entity.container != "web" and entity.field != "health"}
    assert reasons == {"the agent has no container of this name"}


def test_entity_that_is_not_measured_is_left_alone() -> None:
    """A device without the counterpart, or with another kind of entity under its key, takes nothing over for it."""
    (device,) = devices("web")
    components = {**device.document["components"]}
    del components["cpu"]
    components["running"] = {"platform": "sensor"}
    partial = NewDevice(device.id, device.topic, "web", "web", {**device.document, "components": components})
    plan = match(find_entities(PREFIX, recorded("2.6.1")), [partial])
    left = {entity.field: reason for entity, reason in plan.left if entity.container == "web"}
    assert left["cpu"] == "the agent has no `cpu` of this container"
    assert left["state"] == "the agent has no `running` of this container"


def test_newer_of_two_entities_with_one_meaning_is_kept() -> None:
    """An update of docker2mqtt leaves its old `Events` entity beside the new `State`: one of them can be kept."""
    both = {**recorded("2.3.1"), **recorded("2.6.1")}
    plan = match(find_entities(PREFIX, both), devices("web"))
    (moves,) = plan.moves.values()
    assert [entity.topic for entity, key in moves if key == "running"] == [
        f"{PREFIX}/binary_sensor/docker/nas_web_state_events/config"
    ]
    left = {entity.topic: reason for entity, reason in plan.left}
    reason = left[f"{PREFIX}/binary_sensor/docker/nas_web_events/config"]
    assert reason == "another entity of docker2mqtt means the same"


def test_entity_without_device_is_left_alone() -> None:
    """Home Assistant refuses to migrate an entity without a device, with an error in its log."""
    message = json.loads(recorded("2.6.1")[CPU])
    del message["device"]
    plan = match(find_entities(PREFIX, {CPU: json.dumps(message).encode()}), devices("web"))
    assert not plan.moves
    assert [reason for _, reason in plan.left] == ["it has no device, and Home Assistant does not migrate it"]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        json.dumps({"state_topic": 1, "value_template": [], "unique_id": None}).encode(),
        json.dumps({"state_topic": "docker", "value_template": "", "unique_id": ID}).encode(),
        json.dumps({"migrate_discovery": True}).encode(),
    ],
)
def test_rubbish_is_nothing_of_docker2mqtt(payload: bytes) -> None:
    """Whatever else is retained on such a topic is passed over."""
    assert find_entities(PREFIX, {CPU: payload}) == []


@pytest.mark.parametrize("field", ["unique_id", "availability_topic", "state_topic", "value_template"])
def test_entities_of_others_are_not_taken(field: str) -> None:
    """An entity that differs in what marks docker2mqtt's is another program's, although it looks alike."""
    message = {**json.loads(recorded("2.6.1")[CPU]), field: "zigbee2mqtt/0x1/x/y"}
    assert find_entities(PREFIX, {CPU: json.dumps(message).encode()}) == []
    intact = recorded("2.6.1")[CPU]
    for topic in (
        "other/sensor/docker/nas_web_cpu_stats/config",
        f"{PREFIX}/sensor/nas_web_cpu_stats/config",
        f"{PREFIX}/light/docker/nas_web_cpu_stats/config",
        f"{PREFIX}/sensor/podman/nas_web_cpu_stats/config",
    ):
        assert find_entities(PREFIX, {topic: intact}) == []


def test_ids_are_exchanged_and_returned() -> None:
    """Only the named components change. What has another unique id goes first; what has the right one stays."""
    (device,) = devices("web")
    kept = with_ids(device.document, {"cpu": ID})
    assert kept["components"]["cpu"] == {**device.document["components"]["cpu"], "unique_id": ID}
    assert kept["components"]["memory_used"] == device.document["components"]["memory_used"]
    assert without(device.document, {"cpu": ID})["components"]["cpu"] == {"platform": "sensor"}
    assert without(kept, {"cpu": ID}) == kept
    assert with_ids(kept, own_ids(device.id, ["cpu"])) == device.document


def test_device_of_the_agent_is_read_back() -> None:
    """A retained discovery message of the agent is that of the container whose usages it shows."""
    (device,) = devices("web")
    payload = json.dumps(device.document).encode()
    level_of = MessageBuilder("containers", "nas", 1).level_of_usages
    read = read_device(device.id, device.topic, payload, level_of, {"web": "shop_web_1"})
    assert read is not None
    assert (read.document, read.container, read.level, read.is_announced) == (
        device.document,
        "shop_web_1",
        "web",
        True,
    )
    assert read_device(device.id, device.topic, payload, level_of, {}) == NewDevice(
        device.id, device.topic, "web", "web", device.document
    )
    assert read_device(device.id, device.topic, b"{}", level_of, {}) is None
    other_host = MessageBuilder("containers", "attic", 1).level_of_usages
    assert read_device(device.id, device.topic, payload, other_host, {}) is None
