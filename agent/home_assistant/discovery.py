"""The discovery message of a device, as Home Assistant's MQTT integration reads it. Pure.

One retained message makes a device with all its entities (device discovery, since Home Assistant 2024.11):
https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload. If Home Assistant does not know one of the
keys beside `components`, it refuses the whole message. So only documented keys are used there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agent import __version__
from agent.home_assistant.entities import CONTAINER_ENTITIES, HOST_ENTITIES, MACHINE_ENTITIES, Entity

ORIGIN = {"name": "usage-agent", "sw_version": __version__}

MIN_EXPIRY_SECONDS = 15
EXPIRY_INTERVALS = 3
"""A value is unavailable when none has followed it for so many intervals, but not before MIN_EXPIRY_SECONDS."""

Ids = Mapping[str, str]
"""Unique ids by component key, of entities that have other ones than the agent would give them."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device to be discovered.

    Attributes:
        id: unique in Home Assistant, of letters, digits, `_` and `-`.
        slug: what the entity ids of its entities begin with, of small letters, digits and `_`.
        name: what people see.
        via: the id of the host's device, under which Home Assistant shows it; None for the host's device itself.
        manufacturer, model, version: as Home Assistant shows them; not shown if None.
    """

    id: str
    slug: str
    name: str
    via: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of the messages that the entities of a device read.

    Attributes:
        agent_status: topic of the agent's status.
        status: topic of the container's status; for the host's device, of the agent's.
        values: topic of the container's usages; for the host's device, of the agent's counters.
    """

    agent_status: str
    status: str
    values: str


def container_payload(
    device: Device,
    topics: Topics,
    interval: float,
    has_network: bool,
    has_health: bool,
    kept: Ids,
) -> dict[str, Any]:
    """Return the discovery message of a container.

    Args:
        device: the container's device.
        topics: where its messages are published.
        interval: seconds between two of its usages.
        has_network: whether it has a network of its own, and not the host's.
        has_health: whether it has a health check.
        kept: unique ids that its entities have already, by component key.
    """
    entities = [
        entity
        for entity in CONTAINER_ENTITIES
        if (has_network or not entity.shows_network) and (has_health or entity.key != "health")
    ]
    return _payload(device, topics, interval, entities, kept)


def host_payload(device: Device, topics: Topics, interval: float, has_machine: bool, kept: Ids) -> dict[str, Any]:
    """Return the discovery message of the host.

    Args:
        device: the host's device.
        topics: where the agent's own messages are published.
        interval: seconds between two publications of the agent's counters.
        has_machine: whether the counters tell about the machine.
        kept: unique ids that its entities have already, by component key.
    """
    entities = HOST_ENTITIES + (MACHINE_ENTITIES if has_machine else ())
    return _payload(device, topics, interval, entities, kept)


def with_removals(payload: dict[str, Any], earlier: Mapping[str, str]) -> dict[str, Any]:
    """Return a discovery message that also removes entities: those of an earlier message which `payload` does not have.

    Home Assistant keeps an entity whose component is left out. A component of which nothing but the platform is left
    removes it.

    Args:
        payload: the discovery message.
        earlier: the platforms of the components in the earlier message of this device, by key.
    """
    removals = {key: {"platform": platform} for key, platform in earlier.items() if key not in payload["components"]}
    return {**payload, "components": payload["components"] | removals} if removals else payload


def _payload(device: Device, topics: Topics, interval: float, entities: Iterable[Entity], kept: Ids) -> dict[str, Any]:
    agent_runs = _availability(topics.agent_status)
    subject_runs = [agent_runs] if topics.status == topics.agent_status else [agent_runs, _availability(topics.status)]
    description = {
        "identifiers": [device.id],
        "name": device.name,
        "manufacturer": device.manufacturer,
        "model": device.model,
        "sw_version": device.version,
        "via_device": device.via,
    }
    return {
        "device": {key: value for key, value in description.items() if value is not None},
        "origin": ORIGIN,
        # Values are those of the present: there are none while the container, or the agent, does not run.
        "availability": subject_runs,
        "availability_mode": "all",
        "state_topic": topics.values,
        "components": {
            entity.key: _component(entity, device, topics, interval, kept.get(entity.key)) for entity in entities
        },
    }


def _component(entity: Entity, device: Device, topics: Topics, interval: float, kept_id: str | None) -> dict[str, Any]:
    component: dict[str, Any] = {
        "platform": entity.platform,
        "unique_id": kept_id or f"{device.id}_{entity.key}",
        "default_entity_id": f"{entity.platform}.{device.slug}_{entity.key}",
        "name": entity.name,
        "value_template": entity.value_template,
        "qos": 1,
    }
    optional = {
        "device_class": entity.device_class,
        "state_class": entity.state_class,
        "unit_of_measurement": entity.unit,
        "icon": entity.icon,
        "suggested_display_precision": entity.precision,
        "entity_category": "diagnostic" if entity.diagnostic else None,
        "options": [*entity.options] or None,
    }
    component |= {key: value for key, value in optional.items() if value is not None}
    if entity.origin == "status":
        component["state_topic"] = topics.status
        component["availability"] = _status_availability(entity, topics)
    else:
        component["expire_after"] = max(round(EXPIRY_INTERVALS * interval), MIN_EXPIRY_SECONDS)
    return component


def _status_availability(entity: Entity, topics: Topics) -> list[dict[str, str]]:
    """Return when the status is valid: while the agent runs. Whether the agent itself runs is always valid."""
    if topics.status == topics.agent_status and entity.key == "running":
        return []
    return [_availability(topics.agent_status)]


def _availability(topic: str) -> dict[str, str]:
    return {
        "topic": topic,
        "value_template": "{{ value_json.status }}",
        "payload_available": "running",
        "payload_not_available": "stopped",
    }


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a retained discovery message of usage-agent says.

    Attributes:
        agent_topic: the status topic of the agent that published it.
        values_topic: where the usages are published, or the agent's counters.
        platforms: of its entities, by component key.
        unique_ids: of its entities, by component key.
    """

    agent_topic: str
    values_topic: str
    platforms: Mapping[str, str]
    unique_ids: Ids


def summarize(payload: Mapping[str, Any]) -> Discovered:
    """Return what a discovery message of usage-agent says."""
    # A component without a unique id has nothing but its platform: it removes an entity.
    entities = {key: part for key, part in payload["components"].items() if "unique_id" in part}
    return Discovered(
        agent_topic=payload["availability"][0]["topic"],
        values_topic=payload["state_topic"],
        platforms={key: part["platform"] for key, part in entities.items()},
        unique_ids={key: part["unique_id"] for key, part in entities.items()},
    )


def read_payload(payload: bytes) -> Discovered | None:
    """Return what a retained discovery message says; None if it is no message of usage-agent."""
    try:
        document = orjson.loads(payload)
        return summarize(document) if document["origin"]["name"] == ORIGIN["name"] else None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
