"""docs/home-assistant.md: the entities in its examples are those that are really made."""

import re
from pathlib import Path

from agent.home_assistant.discovery import Device, Topics, container_payload, host_payload

DOCUMENT = Path(__file__).parents[2] / "docs" / "home-assistant.md"
TOPICS = Topics("containers/nas/status", "containers/nas/web/status", "containers/nas/web/usage")


def test_entities_of_the_examples_exist() -> None:
    """Cards and automations can be pasted: host `nas`, container `web`."""
    payloads = (
        container_payload(Device("usage-agent_nas_web", "nas_web", "web"), TOPICS, 10, True, True, {}),
        host_payload(Device("usage-agent_nas", "nas", "nas"), TOPICS, 10, True, {}),
    )
    made = {part["default_entity_id"] for payload in payloads for part in payload["components"].values()}
    named = set(re.findall(r"\b(?:binary_)?sensor\.nas_\w+", DOCUMENT.read_text()))
    assert len(named) > 8
    assert named <= made
