"""Print docs/payloads.md: every topic, and every field of every payload, as agent/messages/ defines them.

.venv/bin/python scripts/payloads.py >docs/payloads.md
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from channels import channels

from agent.messages import counters, payloads

HEAD = """\
# Payloads

<!-- Written by scripts/payloads.py from agent/messages/. -->

**What a subscriber may believe**: a container runs if its own status says `running` **and** the status of its host says
`running`. An agent that was killed, or whose host has lost its power or its network, cannot publish anything any more:
then the broker publishes the agent's will, and the containers' statuses stay as they were.

All payloads are JSON objects in UTF-8. Numbers are JSON numbers: bytes, nanoseconds, percent, bytes per second.
Percentages have three decimals, rates are whole numbers. Times are RFC 3339 in UTC. What was not measured is left out;
it is never 0 or null. "Optional" means that a field may be left out for that reason, or because it has no value yet.
`usage-agent schema` prints the same as a JSON Schema. Fields are added, but never renamed or redefined.
"""
KINDS = (payloads.ContainerStatus, payloads.Usage, payloads.AgentStatus, counters.AgentCounters)

Schema = dict[str, Any]


def main() -> None:
    """Print the page."""
    definitions = payloads.schema()["$defs"]
    print(HEAD)
    print("\n".join(topics()))
    print("\n".join(line for kind in KINDS for line in section(kind.__name__, definitions)).rstrip())


def topics() -> Iterator[str]:
    """Yield the table of all topics; `<base>` and so on stand for levels."""
    yield "## Topics\n"
    yield "`<base>` is `topics.base`, `<host>` is `agent.host`, and `<container>` is `topics.container`, by default the"
    yield "container's name. Each may have several levels, except the host. [asyncapi.yaml](asyncapi.yaml) says the"
    yield "same to programs, as an [AsyncAPI](https://www.asyncapi.com/) document.\n"
    yield "| topic | retained | QoS | content |"
    yield "|---|---|---|---|"
    for channel in channels():
        message = channel.message
        topic = message.topic.replace("{", "<").replace("}", ">")
        qos = "`broker.qos`" if channel.definition == "Usage" else str(message.qos)
        yield f"| `{topic}` | {'yes' if message.retain else 'no'} | {qos} | {channel.meaning} |"
    yield ""


def section(name: str, definitions: Schema) -> Iterator[str]:
    """Yield the lines about one payload: its topic, what it is, its table, and what its parts are."""
    topic, _, description = definitions[name]["description"].partition(": ")
    yield f"## {topic}\n\n{sentence(description)}\n"
    yield from table(name, definitions)
    yield ""
    for field, part in parts(name, definitions):
        yield f"**`{field}`** {sentence(definitions[part]['description'])}\n"
        yield from table(part, definitions, f"{field}.")
        yield ""


def table(name: str, definitions: Schema, prefix: str = "") -> Iterator[str]:
    """Yield a table of the fields that are no payload of their own."""
    required = definitions[name].get("required", ())
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for field, found in fields(name, definitions):
        optional = "" if field in required else ", optional"
        meaning = found.get("description") or f"see `{field}` below"
        yield f"| `{prefix}{field}` | {kind_of(found)}{optional} | {meaning} |"


def fields(name: str, definitions: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the fields of a definition in the order of the code; the schema sorts them by name."""
    for field in (getattr(payloads, name, None) or getattr(counters, name)).__annotations__:
        yield field, definitions[name]["properties"][field]


def parts(name: str, definitions: Schema) -> Iterator[tuple[str, str]]:
    """Yield the fields that are objects, each with its definition; `last_usage` is a payload with its own section."""
    for field, found in fields(name, definitions):
        if "$ref" in found and "description" not in found:
            yield field, str(found["$ref"]).rpartition("/")[2]


def kind_of(found: Schema) -> str:
    """Return the type of a field as the page shows it."""
    if "$ref" in found:
        return "object"
    if "enum" in found:
        return "one of " + ", ".join(f"`{value}`" for value in found["enum"])
    if found.get("pattern", "").endswith("Z$"):
        return "time"
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return names.get(found["type"], "list of text")


def sentence(text: str) -> str:
    """Return a description as a sentence."""
    return text[:1].upper() + text[1:].removesuffix(".") + "."


if __name__ == "__main__":
    main()
