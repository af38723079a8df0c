"""Print docs/asyncapi.yaml: topics and payloads as an AsyncAPI 3 document, from agent/messages/.

.venv/bin/python scripts/asyncapi.py >docs/asyncapi.yaml
"""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from channels import Channel, channels

from agent import __version__
from agent.messages import payloads

Document = dict[str, Any]

HEAD = "# Written by scripts/asyncapi.py from agent/messages/. docs/payloads.md has the same for people.\n"
DESCRIPTION = """\
Resource usage of every container of a host. A container runs if its own status says `running` and the status of its
host says `running`. Numbers are JSON numbers: bytes, nanoseconds, percent, bytes per second. What was not measured is
left out; it is never 0 or null. Fields are added, but never renamed or redefined.
"""
PARAMETERS = {
    "base": {"description": "`topics.base`, one or more levels", "default": "containers"},
    "host": {"description": "`agent.host`, with `_` for the characters that topics cannot have"},
    "container": {"description": "`topics.container` filled in, one or more levels; the container's name by default"},
    "prefix": {"description": "`home_assistant.prefix`, one or more levels", "default": "homeassistant"},
    "device": {"description": "`usage-agent_<host>`, or `usage-agent_<host>_<container>`"},
}


def main() -> None:
    """Print the document."""
    print(HEAD + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120), end="")


def document() -> Document:
    """Return the document: https://www.asyncapi.com/docs/reference/specification/v3.1.0."""
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "usage-agent",
            "version": __version__,
            "description": " ".join(DESCRIPTION.split()),
            "license": {"name": "MPL-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "127.0.0.1:1883", "protocol": "mqtt", "description": "`broker.url`"}},
        "channels": {channel.name: describe(channel) for channel in channels()},
        "operations": {f"publish_{channel.name}": operation(channel) for channel in channels()},
        "components": {"parameters": PARAMETERS, "schemas": schemas()},
    }


def describe(channel: Channel) -> Document:
    """Return the description of a channel and of its message."""
    levels = re.findall(r"\{(\w+)\}", channel.message.topic)
    schema: Document = {"type": "object"}
    if channel.definition:
        schema = {"$ref": f"#/components/schemas/{channel.definition}"}
    return {
        "address": channel.message.topic,
        "description": channel.meaning,
        "parameters": {level: {"$ref": f"#/components/parameters/{level}"} for level in levels},
        "messages": {"payload": {"name": channel.name, "summary": channel.meaning, "payload": schema}},
    }


def operation(channel: Channel) -> Document:
    """Return the operation by which the agent publishes on a channel; usages have the default of `broker.qos`."""
    binding = {"qos": channel.message.qos, "retain": channel.message.retain, "bindingVersion": "0.2.0"}
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/payload"}],
        "bindings": {"mqtt": binding},
    }


def schemas() -> Document:
    """Return the definitions of the payloads, with references as AsyncAPI places them."""
    definitions = payloads.schema()["$defs"]
    return {name: moved(definition) for name, definition in definitions.items()}


def moved(part: Any) -> Any:
    """Return a part of the schema whose references point into `components`."""
    match part:
        case {"$ref": str(reference), **rest}:
            target = {"$ref": reference.replace("#/$defs/", "#/components/schemas/")}
            # Beside a reference draft 07, which AsyncAPI follows, ignores all other keywords.
            return {"allOf": [target], **rest} if rest else target
        case dict():
            return {key: moved(value) for key, value in part.items()}
        case list():
            return [moved(value) for value in part]
    return part


if __name__ == "__main__":
    main()
