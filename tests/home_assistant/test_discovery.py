"""Discovery messages: what Home Assistant's documentation allows, and nothing that it would complain of."""

import json
import re
from typing import Any

import orjson
import pytest

from agent.home_assistant.discovery import (
    Device,
    Topics,
    container_payload,
    host_payload,
    read_payload,
    summarize,
    with_removals,
)
from agent.home_assistant.entities import CONTAINER_ENTITIES, HOST_ENTITIES, MACHINE_ENTITIES

WEB = Device("usage-agent_nas_web", "nas_web", "web", via="usage-agent_nas", manufacturer="Docker", model="nginx")
NAS = Device("usage-agent_nas", "nas", "nas", manufacturer="usage-agent", version="1")
WEB_TOPICS = Topics("containers/nas/status", "containers/nas/web/status", "containers/nas/web/usage")
NAS_TOPICS = Topics("containers/nas/status", "containers/nas/status", "containers/nas/agent")


def container(interval: float = 10, has_network: bool = True, has_health: bool = True, kept: Any = {}) -> Any:  # noqa: B006
    """Return the discovery message of a container."""
    return container_payload(WEB, WEB_TOPICS, interval, has_network, has_health, kept)


def host() -> Any:
    """Return the discovery message of a host."""
    return host_payload(NAS, NAS_TOPICS, 10, has_machine=True, kept={})


@pytest.mark.parametrize("payload", [container(), host()], ids=["container", "host"])
def test_payload_has_only_keys_that_are_known(payload: Any) -> None:
    """Home Assistant refuses a message with an unknown key beside the components, in the device or in the origin."""
    assert payload.keys() <= {"device", "origin", "availability", "availability_mode", "state_topic", "components"}
    assert payload["device"].keys() <= {
        "identifiers", "name", "manufacturer", "model", "sw_version", "via_device"
    }  # fmt: skip
    assert payload["origin"].keys() <= {"name", "sw_version", "support_url"}


@pytest.mark.parametrize("payload", [container(), host()], ids=["container", "host"])
def test_each_entity_is_complete(payload: Any) -> None:
    """Ids are unique, units belong to their device classes, and numbers have statistics."""
    components = payload["components"]
    assert len({part["unique_id"] for part in components.values()}) == len(components)
    assert len({part["default_entity_id"] for part in components.values()}) == len(components)
    units = {"data_size": "B", "data_rate": "B/s", "duration": "s", "frequency": "MHz"}
    for key, part in components.items():
        assert re.fullmatch("[a-z_]+", key)
        assert part.get("unit_of_measurement") == units.get(part.get("device_class"), part.get("unit_of_measurement"))
        assert "unit_of_measurement" not in part or "state_class" in part
        assert ("options" in part) == (part.get("device_class") == "enum")
        # A value of the present expires. A state is retained, and does not.
        assert ("expire_after" in part) == (part.get("state_topic") != payload_status(payload))


def payload_status(payload: Any) -> str:
    """Return the status topic of a payload's subject."""
    return str(payload["availability"][-1]["topic"])


def test_values_expire_after_three_intervals_but_not_early() -> None:
    """15 seconds at least: a usage that is a little late must not make values unavailable."""
    assert container(interval=10)["components"]["cpu"]["expire_after"] == 30
    assert container(interval=0.5)["components"]["cpu"]["expire_after"] == 15


def test_what_is_not_measured_is_left_out() -> None:
    """A container in the host's network has no network of its own; few have a health check."""
    keys = container(has_network=False, has_health=False)["components"].keys()
    assert "cpu" in keys
    assert not keys & {"network_in", "network_out_total", "health"}


def test_entity_that_is_left_out_is_removed() -> None:
    """Its platform alone under its key removes it; what is still there is not touched."""
    earlier, now = container(), container(has_health=False)
    message = with_removals(now, summarize(earlier).platforms)
    assert message["components"]["health"] == {"platform": "binary_sensor"}
    assert {key: part for key, part in message["components"].items() if key != "health"} == now["components"]
    assert with_removals(now, summarize(message).platforms) == now


def test_unique_ids_are_kept() -> None:
    """An entity that had another unique id keeps it, and so its history."""
    kept = container(kept={"cpu": "docker_web_cpu"})
    assert kept["components"]["cpu"]["unique_id"] == "docker_web_cpu"
    found = read_payload(orjson.dumps(kept))
    assert found
    assert found.unique_ids["cpu"] == "docker_web_cpu"
    assert found.values_topic == "containers/nas/web/usage"


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"1", b'{"origin":{"name":"zigbee2mqtt"}}', b'{"origin":{"name":"usage-agent"}}',
     json.dumps({"origin": {"name": "usage-agent"}, "components": [], "availability": []}).encode()],
)  # fmt: skip
def test_other_messages_are_not_read(payload: bytes) -> None:
    """Anything may be retained on a discovery topic."""
    assert read_payload(payload) is None


def test_keys_are_unique() -> None:
    """A key names one entity of a device."""
    for table in (CONTAINER_ENTITIES, HOST_ENTITIES + MACHINE_ENTITIES):
        assert len({entity.key for entity in table}) == len(table)
