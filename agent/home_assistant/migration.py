"""Entities of docker2mqtt, and which of the agent's entities take their place. Pure; app/migrate.py carries it out.

    retained discovery of docker2mqtt ──► find_entities() ─┐
                                                           ├──► match() ──► Plan
    retained discovery of the agent ──────► read_device() ─┘

Home Assistant knows an entity by its unique id: history, settings and entity id belong to the unique id, whoever
announces it. So the agent announces its own entity under the unique id that docker2mqtt gave. The agent's retained
discovery message keeps this id; the agent reads the message when it starts. Home Assistant continues to show the unit
that it knows (MB), and converts the value.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agent.home_assistant.devices import NamedContainer, container_device_ids, entity_slug
from agent.home_assistant.discovery import Device, Ids, Topics, container_payload, read_payload
from agent.home_assistant.docker2mqtt import COUNTERPARTS, OTHER_MEANING, OldEntity

MIGRATE = b'{"migrate_discovery": true}'
"""Makes Home Assistant unload what was discovered by a topic, and keep its settings.

https://www.home-assistant.io/integrations/mqtt/#migration-from-single-component-to-device-based-discovery
"""


@dataclass(frozen=True, slots=True)
class NewDevice:
    """The device of a container, as the agent announces it.

    Attributes:
        id: by which Home Assistant knows it.
        topic: of its discovery message.
        container: the container's name.
        level: the container's topic level.
        document: the discovery message.
        is_announced: whether the broker has it; else it is made for the migration.
    """

    id: str
    topic: str
    container: str
    level: str
    document: Mapping[str, Any]
    is_announced: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What a migration does.

    Attributes:
        moves: the entities to take over with the component keys that take their place, by topic of the new device.
        left: the entities without a counterpart, and why.
    """

    moves: Mapping[str, list[tuple[OldEntity, str]]]
    left: list[tuple[OldEntity, str]]

    def ids(self, topic: str) -> dict[str, str]:
        """Return the unique ids that a device takes over, by component key."""
        return {key: entity.unique_id for entity, key in self.moves[topic]}


def match(entities: Iterable[OldEntity], devices: Iterable[NewDevice]) -> Plan:
    """Find the counterpart of each entity, on the device of the container of its name."""
    by_container = {device.container: device for device in devices}
    moves: dict[str, list[tuple[OldEntity, str]]] = defaultdict(list)
    left: list[tuple[OldEntity, str]] = []
    # In reverse order, so that `web_state_events` of newer versions comes before `web_events`, left by an older one.
    for entity in sorted(entities, key=lambda entity: entity.topic, reverse=True):
        device = by_container.get(entity.container)
        taken = {key for _, key in moves[device.topic]} if device else ()
        if reason := _obstacle(entity, device, taken):
            left.append((entity, reason))
        elif device:
            moves[device.topic].append((entity, COUNTERPARTS[entity.platform, entity.field]))
    for found in moves.values():
        found.reverse()
    return Plan({topic: found for topic, found in moves.items() if found}, left[::-1])


def with_ids(document: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    """Return a discovery message whose components have these unique ids, by component key."""
    components = {
        key: {**part, "unique_id": ids[key]} if key in ids else part for key, part in document["components"].items()
    }
    return {**document, "components": components}


def without(document: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    """Return a discovery message that removes the components whose unique id differs from the one in `ids`, by key.

    Nothing but the platform of such a component is left, by which Home Assistant removes its entity.
    """
    components = {
        key: {"platform": part["platform"]} if key in ids and part.get("unique_id") != ids[key] else part
        for key, part in document["components"].items()
    }
    return {**document, "components": components}


def own_ids(device_id: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the unique ids that the agent gives by itself, by component key."""
    return {key: f"{device_id}_{key}" for key in keys}


def read_device(
    device_id: str, topic: str, payload: bytes, level_of: Callable[[str], str | None], names: Mapping[str, str]
) -> NewDevice | None:
    """Return the device of a retained discovery message if it is that of a container of this host, else None.

    Args:
        device_id: the device id in the topic.
        topic: of the message.
        payload: of the message.
        level_of: returns the topic level of a container of this host, by the topic of its usages.
        names: the containers' names, by topic level. Where a name is missing, the level is used.
    """
    found = read_payload(payload)
    level = level_of(found.values_topic) if found else None
    return NewDevice(device_id, topic, names.get(level, level), level, orjson.loads(payload)) if level else None


def make_device(
    device_id: str, topic: str, container: str, level: str, host: str, topics: Topics, interval: float
) -> NewDevice:
    """Return a device that the agent has not announced yet, with those entities that can take the place of old ones.

    Args:
        device_id: unique in Home Assistant.
        topic: of its discovery message.
        container: the container's name.
        level: the container's topic level.
        host: the host's name.
        topics: where the agent will publish the container's messages.
        interval: seconds between two usages.
    """
    device = Device(device_id, entity_slug(host, container), container, manufacturer="Docker")
    document = container_payload(device, topics, interval, has_network=True, has_health=False, kept={})
    keys = set(COUNTERPARTS.values())
    components = {key: component for key, component in document["components"].items() if key in keys}
    return NewDevice(device_id, topic, container, level, {**document, "components": components}, is_announced=False)


def device_ids(host: str, containers: Iterable[str]) -> dict[str, str]:
    """Return the device id of each container, by the container's name, as the agent will choose it."""
    return container_device_ids(host, [NamedContainer(name, name, name) for name in containers])


def make_backup(messages: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the document that keeps docker2mqtt's discovery messages; they are JSON, and so they are UTF-8."""
    return {"discovery": {topic: payload.decode() for topic, payload in messages.items()}}


def read_backup(payload: bytes) -> dict[str, bytes]:
    """Return the discovery messages in a document of `make_backup`, by topic; none if the payload is something else."""
    try:
        return {topic: original.encode() for topic, original in orjson.loads(payload)["discovery"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _obstacle(entity: OldEntity, device: NewDevice | None, taken: Collection[str]) -> str | None:
    """Return why an entity has no counterpart; None if it has."""
    key = COUNTERPARTS.get((entity.platform, entity.field))
    if key is None:
        return OTHER_MEANING.get((entity.platform, entity.field), "the agent has no such entity")
    if device is None:
        return "the agent has no container of this name"
    component = device.document["components"].get(key)
    if component is None or component.get("platform") != entity.platform:
        return f"the agent has no `{key}` of this container"
    if key in taken:
        return "another entity of docker2mqtt means the same"
    return None if entity.has_device else "it has no device, and Home Assistant does not migrate it"
