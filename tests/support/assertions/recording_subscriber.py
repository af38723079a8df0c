"""A subscriber that records all messages of an agent and checks them against the schema and the invariants."""

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


class MessageInvariants:
    """Checks of the messages of a host in order: schema, sum of the outbox counters, and counters that only grow."""

    def __init__(self) -> None:
        self._started_at = ""
        self._last_counted: dict[str, float] = {}

    def check(self, message: Received) -> None:
        """Fail if a message, the next in order, violates an invariant."""
        if not message.payload:
            return
        kind = schema_name(message)
        VALIDATORS[kind].validate(message.json)
        if kind == "AgentStatus" and message.json["started_at"] != self._started_at:
            self._started_at = message.json["started_at"]
            self._last_counted = {}  # a new agent counts from zero
        if kind == "AgentCounters":
            self._check_counters(message.json)

    def _check_counters(self, counters: Any) -> None:
        outbox = counters["outbox"]
        assert outbox["added"] == outbox["sent"] + outbox["dropped"] + outbox["waiting"], counters
        assert outbox["waiting"] <= outbox["capacity"], counters
        counted = {name: outbox[name] for name in ("added", "sent", "dropped")} | counters["broker"]
        counted |= counters["engine"]
        counted["uptime"] = counters["uptime"]
        assert all(counted[name] >= self._last_counted.get(name, 0) for name in counted), (self._last_counted, counted)
        self._last_counted = counted


class RecordingSubscriber(Subscriber):
    """Subscriber to all topics of the agent on host `h`."""

    def __init__(self, url: str, qos: int = 1) -> None:
        super().__init__(url, f"{ROOT}/#", qos=qos)

    def usages(self, container: str, count: int = 1, timeout: float = PATIENCE, after: float = 0) -> list[Any]:
        """Wait for usages of a container."""
        return [message.json for message in self.on(f"{ROOT}/{container}/usage", timeout, count, after)]

    def statuses(self, container: str) -> list[str]:
        """Return the summaries of a container's statuses so far; see `summary`."""
        return [summary(message) for message in self._on_topic(f"{ROOT}/{container}/status")]

    def published_statuses(self, container: str) -> list[tuple[str, str]]:
        """Return the id and summary of a container's statuses so far, without cleared ones."""
        statuses = [message for message in self._on_topic(f"{ROOT}/{container}/status") if message.payload]
        return [(message.json["container"]["id"], summary(message)) for message in statuses]

    def status(self, container: str, *summaries: str, timeout: float = PATIENCE, after: float = 0) -> Any:
        """Wait for a status of a container with one of these summaries; return its payload."""
        return self._wait_for_status(f"{ROOT}/{container}/status", summaries, timeout, after)

    def agent(self, *summaries: str, timeout: float = PATIENCE, after: float = 0) -> Any:
        """Wait for a status of the agent with one of these summaries; return its payload."""
        return self._wait_for_status(f"{ROOT}/status", summaries, timeout, after)

    def counters(self, after: float = 0, timeout: float = PATIENCE) -> Any:
        """Wait for the agent's counters and return the last ones."""
        return self.on(f"{ROOT}/agent", timeout, 1, after)[-1].json

    def missing(self, container: str) -> int:
        """Return the number of missing usages of a container: the gaps in `seq` up to the last one."""
        received = {message.json["seq"] for message in self._on_topic(f"{ROOT}/{container}/usage")}
        return max(received, default=0) - len(received)

    def _on_topic(self, topic: str) -> list[Received]:
        """Return the messages on a topic so far."""
        return list(self.by_topic.get(topic, ()))

    def _wait_for_status(self, topic: str, summaries: tuple[str, ...], timeout: float, after: float) -> Any:
        found = self.wait_for_on(topic, lambda message: summary(message) in summaries, timeout, 1, after)
        return found[-1].json

    def check(self) -> None:
        """Check the invariants of all messages so far."""
        invariants = MessageInvariants()
        for message in list(self.messages):
            if message.topic != f"{ROOT}/check":  # of `usage-agent check`; no payload of the agent's
                invariants.check(message)


def schema_name(message: Received) -> str:
    """Return the name of the payload's definition in the schema, by the topic."""
    level = message.topic.removeprefix(f"{ROOT}/")
    kinds = {"status": "AgentStatus", "agent": "AgentCounters"}
    return kinds.get(level, "Usage" if level.endswith("/usage") else "ContainerStatus")


def summary(message: Received) -> str:
    """Return the reason of a status, or its status if it has none; "cleared" for an empty payload."""
    if not message.payload:
        return "cleared"
    return str(message.json.get("reason") or message.json["status"])
