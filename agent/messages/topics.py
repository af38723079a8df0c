"""Topics and messages. The only module that composes topics.

    <base>/<host>/status               retained   the agent
    <base>/<host>/agent                           the agent's own counters
    <base>/<host>/check                           what `usage-agent check` publishes as a test
    <base>/<host>/<container>/status   retained   whether usages of a container are published
    <base>/<host>/<container>/usage               one usage

A level that stands for a host or a container is made by `safe()`. Pure: payload dictionaries in, bytes out.
"""

from dataclasses import dataclass

import orjson

from agent.messages.counters import AgentCounters
from agent.messages.payloads import AgentStatus, ContainerStatus, Usage
from agent.runtime.text import safe

STATUS_QOS = 1  # subscribers would go on believing the previous status if one were lost


@dataclass(frozen=True, slots=True)
class Message:
    """An application message of MQTT: topic, payload, retain flag and QoS."""

    topic: str
    payload: bytes
    retain: bool
    qos: int


class MessageBuilder:
    """Composes the agent's messages.

    Args:
        base: First levels of every topic, `topics.base` of the configuration.
        host: Name of the agent's host.
        qos: QoS of usages. Statuses always have STATUS_QOS.

    Attributes:
        host: Name of the agent's host, as payloads show it.
        own_topics: Topic filter for everything that this agent publishes.
        agent_topic: Topic of the agent's own status.
    """

    def __init__(self, base: str, host: str, qos: int) -> None:
        self.host = host.encode(errors="replace").decode()  # JSON has no lone surrogates
        self._root = f"{base}/{safe(host)}"
        self._qos = qos
        self.own_topics = f"{self._root}/#"
        self.agent_topic = f"{self._root}/status"

    def usage(self, level: str, payload: Usage) -> Message:
        """Return the message for a usage of the container at this topic level."""
        return Message(f"{self._root}/{level}/usage", _json(payload), retain=False, qos=self._qos)

    def container_status(self, level: str, payload: ContainerStatus) -> Message:
        """Return the message for the status of the container at this topic level."""
        return self._status(f"{self._root}/{level}/status", _json(payload))

    def container_cleared(self, level: str) -> Message:
        """Return the message that removes the retained status at this topic level (MQTT 5, section 3.3.1.3)."""
        return self._status(f"{self._root}/{level}/status", b"")

    def agent_status(self, payload: AgentStatus) -> Message:
        """Return the message for the agent's own status; also its will."""
        return self._status(self.agent_topic, _json(payload))

    def agent_counters(self, payload: AgentCounters) -> Message:
        """Return the message for the agent's own counters."""
        return Message(f"{self._root}/agent", _json(payload), retain=False, qos=STATUS_QOS)

    def check(self, token: str) -> Message:
        """Return the message by which `usage-agent check` tries to publish; `token` makes it unique."""
        return Message(f"{self._root}/check", _json({"check": token}), retain=False, qos=STATUS_QOS)

    def level_of(self, topic: str) -> str | None:
        """Return the container's topic level if this is a container's status topic of this agent, else None."""
        prefix, suffix = f"{self._root}/", "/status"
        if not topic.startswith(prefix) or not topic.endswith(suffix):
            return None
        return topic[len(prefix) : -len(suffix)] or None

    @staticmethod
    def _status(topic: str, payload: bytes) -> Message:
        return Message(topic, payload, retain=True, qos=STATUS_QOS)


def _json(payload: object) -> bytes:
    # A copy: orjson's bytes keep the 8 KiB buffer that they were written into, and messages may wait for long.
    return memoryview(orjson.dumps(payload)).tobytes()
