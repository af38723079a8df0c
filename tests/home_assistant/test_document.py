"""docs/home-assistant.md, docs/alerts.md: the entities in their examples are those that are really made."""

import re
from pathlib import Path

import pytest
import yaml
from documents.blocks import blocks
from support.home_assistant.server import HomeAssistant

from agent.home_assistant.discovery import Device, Topics, container_payload, host_payload

DOCS = Path(__file__).parents[2] / "docs"
TOPICS = Topics("containers/nas/status", "containers/nas/web/status", "containers/nas/web/usage")


@pytest.mark.parametrize(("page", "least"), [("home-assistant.md", 8), ("alerts.md", 1)])
def test_entities_exist(page: str, least: int) -> None:
    """Cards and automations can be pasted: host `nas`, container `web`."""
    payloads = (
        container_payload(Device("usage-agent_nas_web", "nas_web", "web"), TOPICS, 10, True, True, {}),
        host_payload(Device("usage-agent_nas", "nas", "nas"), TOPICS, 10, True, {}),
    )
    made = {part["default_entity_id"] for payload in payloads for part in payload["components"].values()}
    named = set(re.findall(r"\b(?:binary_)?sensor\.nas_\w+", (DOCS / page).read_text()))
    assert len(named) > least
    assert named <= made


def test_automations_are_valid(home_assistant: HomeAssistant) -> None:
    """Home Assistant accepts the triggers and actions of all automations that the documents show."""
    automations = [yaml.safe_load(block.text) for block in blocks() if block.text.startswith("alias: ")]
    assert len(automations) == 5
    for automation in automations:
        parts = {"triggers": automation["triggers"], "actions": automation["actions"]}
        verdict = home_assistant.api.command("validate_config", **parts)
        assert [verdict[part]["error"] for part in parts] == [None, None], automation["alias"]
