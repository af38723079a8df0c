"""The entities that docker2mqtt announces to Home Assistant, and which of the agent's mean the same. Pure.

docker2mqtt (https://github.com/miaucl/docker2mqtt), 2.0 and newer, announces each entity by a message of its own:

    <prefix>/sensor/<base>/<host>_<container>_<field>_stats/config
    <prefix>/binary_sensor/<base>/<host>_<container>_<field>_events/config        2.3: <container>_events

The unique id is `<base>_<host>_` and the topic. In the topic a container's name is made safe, so the name is read from
the topic of the values: `<base>/<host>/<container>/stats`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

COUNTERPARTS = {
    ("sensor", "cpu"): "cpu",
    ("sensor", "memoryused"): "memory_used",
    ("sensor", "netinput"): "network_in_total",
    ("sensor", "netoutput"): "network_out_total",
    ("sensor", "netinputrate"): "network_in",
    ("sensor", "netoutputrate"): "network_out",
    ("sensor", "blockinput"): "disk_read_total",
    ("sensor", "blockoutput"): "disk_write_total",
    ("sensor", "blockinputrate"): "disk_read",
    ("sensor", "blockoutputrate"): "disk_write",
    ("binary_sensor", "state"): "running",
}
"""Component keys of the agent's entities by platform and field of docker2mqtt's, where both mean the same."""

OTHER_MEANING = {("binary_sensor", "health"): "its `on` is healthy, the agent's `on` is a problem"}

_FIELD = re.compile(r"value_json\.(\w+)")


@dataclass(frozen=True, slots=True)
class OldEntity:
    """An entity of docker2mqtt.

    Attributes:
        topic: of its discovery message.
        host: what docker2mqtt calls its host.
        container: the container's name.
        platform: sensor or binary_sensor.
        field: the field of docker2mqtt's messages that it shows.
        unique_id: by which Home Assistant knows it.
        has_device: whether it belongs to a device, without which Home Assistant does not migrate it.
        status_topic: where docker2mqtt says whether it runs.
    """

    topic: str
    host: str
    container: str
    platform: str
    field: str
    unique_id: str
    has_device: bool
    status_topic: str


def find_entities(prefix: str, retained: Mapping[str, bytes]) -> list[OldEntity]:
    """Return docker2mqtt's entities among retained messages, ordered by container and topic.

    Args:
        prefix: of Home Assistant's discovery topics.
        retained: payloads by topic, of whatever program.
    """
    found = (_recognize(prefix, topic, payload) for topic, payload in retained.items())
    return sorted((entity for entity in found if entity), key=lambda entity: (entity.container, entity.topic))


def _recognize(prefix: str, topic: str, payload: bytes) -> OldEntity | None:
    """Return the entity of a discovery message; None if the message is not docker2mqtt's."""
    levels = topic.removeprefix(f"{prefix}/").split("/")
    if not topic.startswith(f"{prefix}/") or len(levels) != 4 or levels[0] not in ("sensor", "binary_sensor"):
        return None
    try:
        document = orjson.loads(payload)
        base, host, container, *_ = document["state_topic"].split("/")
        field = _FIELD.search(document["value_template"])
        expected = (f"{base}/{host}/status", f"{base}_{host}_{topic}")
        if field is None or (document["availability_topic"], document["unique_id"]) != expected or levels[1] != base:
            return None
        has_device = bool(document.get("device"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return OldEntity(topic, host, container, levels[0], field[1], expected[1], has_device, expected[0])
