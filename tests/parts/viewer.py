"""What somebody sees who subscribes to everything the agent says, and holds it to the schema and to the law."""

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no types of its own

from agent.payloads import schema
from parts.subscriber import Received, Subscriber

HOST = "h"
ROOT = f"containers/{HOST}"


def _validators() -> dict[str, Any]:
    """Return a strict validator for each kind of payload: fields without a definition are refused."""
    whole = schema()
    for definition in whole["$defs"].values():
        definition["additionalProperties"] = False
    definitions = whole["$defs"]
    return {
        name: jsonschema.Draft202012Validator({**definitions[name], "$defs": definitions})
        for name in ("Usage", "ContainerStatus", "AgentStatus", "AgentCounters")
    }


VALIDATORS = _validators()


class Viewer(Subscriber):
    """Subscribes to all that an agent on host `h` says; counts usages as they come."""

    def __init__(self, url: str) -> None:
        super().__init__(url, f"{ROOT}/#")

    def usages(self, container: str, count: int = 1, timeout: float = 20, after: float = 0) -> list[Any]:
        """Wait for usages of a container."""
        return [message.json for message in self.on(f"{ROOT}/{container}/usage", timeout, count, after)]

    def statuses(self, container: str) -> list[str]:
        """The statuses of a container so far: `running`, or why it stopped; `cleared`."""
        return [word(message) for message in list(self.messages) if message.topic == f"{ROOT}/{container}/status"]

    def told(self, container: str) -> list[tuple[str, str]]:
        """The same, each with the id of the container that it was said of; without what was cleared."""
        topic = f"{ROOT}/{container}/status"
        said = [message for message in list(self.messages) if message.topic == topic and message.payload]
        return [(message.json["container"]["id"], word(message)) for message in said]

    def status(self, container: str, *words: str, timeout: float = 20, after: float = 0) -> Any:
        """Wait for one of these statuses of a container; return its payload."""
        topic = f"{ROOT}/{container}/status"
        found = self.wait_for(lambda message: message.topic == topic and word(message) in words, timeout, 1, after)
        return found[-1].json

    def agent(self, *words: str, timeout: float = 20, after: float = 0) -> Any:
        """Wait for a status of the agent."""
        found = self.wait_for(lambda m: m.topic == f"{ROOT}/status" and word(m) in words, timeout, 1, after)
        return found[-1].json

    def counters(self, after: float = 0, timeout: float = 20) -> Any:
        """Wait for the agent's counters."""
        return self.on(f"{ROOT}/agent", timeout, 1, after)[-1].json

    def missing(self, container: str) -> int:
        """How many usages of a container never came: the gaps in `seq`, wherever they are."""
        came = {message.json["seq"] for message in self.messages if message.topic == f"{ROOT}/{container}/usage"}
        return max(came, default=0) - len(came)

    def check(self) -> None:
        """Hold every payload to the schema, the counters to the law, and what is counted to only ever grow."""
        grown: dict[str, float] = {}
        for message in list(self.messages):
            if not message.payload:
                continue
            level = message.topic.removeprefix(f"{ROOT}/")
            kind = {"status": "AgentStatus", "agent": "AgentCounters"}.get(
                level, "Usage" if level.endswith("/usage") else "ContainerStatus"
            )
            VALIDATORS[kind].validate(message.json)
            if kind == "AgentCounters":
                outbox = message.json["outbox"]
                assert outbox["added"] == outbox["sent"] + outbox["dropped"] + outbox["waiting"]
                assert outbox["waiting"] <= outbox["capacity"]
                counted = {name: outbox[name] for name in ("added", "sent", "dropped")} | message.json["broker"]
                counted |= message.json["engine"]
                counted["uptime"] = message.json["uptime"]
                if counted["uptime"] < grown.get("uptime", 0):
                    grown = {}  # another agent
                assert all(counted[name] >= grown.get(name, 0) for name in counted)
                grown = counted


def word(message: Received) -> str:
    """The essence of a status."""
    if not message.payload:
        return "cleared"
    return str(message.json.get("reason") or message.json["status"])
