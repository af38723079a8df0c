"""What somebody sees who subscribes to everything the agent says, and holds it to the schema and to the law."""

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no types of its own

from agent.messages.payloads import schema
from support.daemons.processes import PATIENCE
from support.daemons.subscriber import Received, Subscriber

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


class Law:
    """Holds every payload to the schema, the counters to their sum, and what is counted to only ever grow."""

    def __init__(self) -> None:
        self._started_at = ""
        self._grown: dict[str, float] = {}

    def hold(self, message: Received) -> None:
        """Fail where a message, the next in order, breaks the law."""
        if not message.payload:
            return
        kind = kind_of(message)
        VALIDATORS[kind].validate(message.json)
        if kind == "AgentStatus" and message.json["started_at"] != self._started_at:
            self._started_at = message.json["started_at"]
            self._grown = {}  # another agent
        if kind == "AgentCounters":
            self._hold_counters(message.json)

    def _hold_counters(self, counters: Any) -> None:
        outbox = counters["outbox"]
        assert outbox["added"] == outbox["sent"] + outbox["dropped"] + outbox["waiting"], counters
        assert outbox["waiting"] <= outbox["capacity"], counters
        counted = {name: outbox[name] for name in ("added", "sent", "dropped")} | counters["broker"]
        counted |= counters["engine"]
        counted["uptime"] = counters["uptime"]
        assert all(counted[name] >= self._grown.get(name, 0) for name in counted), (self._grown, counted)
        self._grown = counted


class RecordingSubscriber(Subscriber):
    """Subscribes to all that an agent on host `h` says; counts usages as they come."""

    def __init__(self, url: str, qos: int = 1) -> None:
        super().__init__(url, f"{ROOT}/#", qos=qos)

    def usages(self, container: str, count: int = 1, timeout: float = PATIENCE, after: float = 0) -> list[Any]:
        """Wait for usages of a container."""
        return [message.json for message in self.on(f"{ROOT}/{container}/usage", timeout, count, after)]

    def statuses(self, container: str) -> list[str]:
        """The statuses of a container so far: `running`, or why it stopped; `cleared`."""
        return [word(message) for message in self._on_topic(f"{ROOT}/{container}/status")]

    def told(self, container: str) -> list[tuple[str, str]]:
        """The same, each with the id of the container that it was said of; without what was cleared."""
        said = [message for message in self._on_topic(f"{ROOT}/{container}/status") if message.payload]
        return [(message.json["container"]["id"], word(message)) for message in said]

    def status(self, container: str, *words: str, timeout: float = PATIENCE, after: float = 0) -> Any:
        """Wait for one of these statuses of a container; return its payload."""
        return self._said(f"{ROOT}/{container}/status", words, timeout, after)

    def agent(self, *words: str, timeout: float = PATIENCE, after: float = 0) -> Any:
        """Wait for a status of the agent."""
        return self._said(f"{ROOT}/status", words, timeout, after)

    def counters(self, after: float = 0, timeout: float = PATIENCE) -> Any:
        """Wait for the agent's counters."""
        return self.on(f"{ROOT}/agent", timeout, 1, after)[-1].json

    def missing(self, container: str) -> int:
        """How many usages of a container never came: the gaps in `seq`, wherever they are."""
        came = {message.json["seq"] for message in self._on_topic(f"{ROOT}/{container}/usage")}
        return max(came, default=0) - len(came)

    def _on_topic(self, topic: str) -> list[Received]:
        """What has come on a topic so far."""
        return list(self.by_topic.get(topic, ()))

    def _said(self, topic: str, words: tuple[str, ...], timeout: float, after: float) -> Any:
        found = self.wait_for_on(topic, lambda message: word(message) in words, timeout, 1, after)
        return found[-1].json

    def check(self) -> None:
        """Hold everything that came to the law."""
        law = Law()
        for message in list(self.messages):
            law.hold(message)


def kind_of(message: Received) -> str:
    """The name of the payload's definition in the schema, by the topic."""
    level = message.topic.removeprefix(f"{ROOT}/")
    kinds = {"status": "AgentStatus", "agent": "AgentCounters"}
    return kinds.get(level, "Usage" if level.endswith("/usage") else "ContainerStatus")


def word(message: Received) -> str:
    """The essence of a status."""
    if not message.payload:
        return "cleared"
    return str(message.json.get("reason") or message.json["status"])
