"""Topics and messages. The only module that composes topics.

    <base>/<host>/status               retained   the agent
    <base>/<host>/agent                           the agent's own counters
    <base>/<host>/check                           what `usage-agent check` publishes as a test
    <base>/<host>/<container>/status   retained   whether usages of a container are published
    <base>/<host>/<container>/usage               one usage
    <base>/<host>/<container>/docker2mqtt  retained  what docker2mqtt had announced of it, if that was migrated
    <prefix>/device/<device id>/config retained   Home Assistant's discovery of a device

A level that stands for a host or a container is made by `topic_level()`. Pure: payload dictionaries in, bytes out.
"""

from dataclasses import dataclass

import orjson

from agent.messages.counters import AgentCounters
from agent.messages.payloads import AgentStatus, ContainerStatus, Usage
from agent.runtime.text import topic_level

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
        agent_topic_end: End of `agent_topic`, which is the same with any base.
        counters_topic: Topic of the agent's own counters.
    """

    def __init__(self, base: str, host: str, qos: int) -> None:
        self.host = host.encode(errors="replace").decode()  # JSON has no lone surrogates
        self._root = f"{base}/{topic_level(host)}"
        self._qos = qos
        self.own_topics = f"{self._root}/#"
        self.agent_topic = f"{self._root}/status"
        self.agent_topic_end = f"/{topic_level(host)}/status"
        self.counters_topic = f"{self._root}/agent"

    def usage(self, level: str, payload: Usage) -> Message:
        """Return the message for a usage of the container at this topic level."""
        return Message(f"{self._root}/{level}/usage", _json(payload), retain=False, qos=self._qos)

    def container_status(self, level: str, payload: ContainerStatus) -> Message:
        """Return the message for the status of the container at this topic level."""
        return self._status(f"{self._root}/{level}/status", _json(payload))

    def container_cleared(self, level: str) -> Message:
        """Return the message that removes the retained status at this topic level (MQTT 5, section 3.3.1.3)."""
        return self._status(f"{self._root}/{level}/status", b"")

    def container_topics(self, level: str) -> tuple[str, str]:
        """Return the topics of the status and of the usages of the container at this topic level."""
        return f"{self._root}/{level}/status", f"{self._root}/{level}/usage"

    def agent_status(self, payload: AgentStatus) -> Message:
        """Return the message for the agent's own status; also its will."""
        return self._status(self.agent_topic, _json(payload))

    def agent_counters(self, payload: AgentCounters) -> Message:
        """Return the message for the agent's own counters."""
        return Message(self.counters_topic, _json(payload), retain=False, qos=STATUS_QOS)

    def check(self, token: str) -> Message:
        """Return the message by which `usage-agent check` tries to publish; `token` makes it unique."""
        return Message(f"{self._root}/check", _json({"check": token}), retain=False, qos=STATUS_QOS)

    def level_of(self, topic: str) -> str | None:
        """Return the container's topic level if this is a container's status topic of this agent, else None."""
        return self._level(topic, "/status")

    def level_of_usages(self, topic: str) -> str | None:
        """Return the container's topic level if this is the topic of a container's usages of this agent, else None."""
        return self._level(topic, "/usage")

    def level_of_backup(self, topic: str) -> str | None:
        """Return the container's topic level if the agent keeps a backup of docker2mqtt's discovery here, else None."""
        return self._level(topic, "/docker2mqtt")

    def _level(self, topic: str, suffix: str) -> str | None:
        prefix = f"{self._root}/"
        if not topic.startswith(prefix) or not topic.endswith(suffix):
            return None
        return topic[len(prefix) : -len(suffix)] or None

    def backup(self, level: str, payload: object) -> Message:
        """Return the message that keeps what docker2mqtt had announced of a container; None as payload clears it."""
        return self.discovery(f"{self._root}/{level}/docker2mqtt", payload)

    def discovery(self, topic: str, payload: object) -> Message:
        """Return the message by which Home Assistant discovers a device; None as the payload removes the device."""
        return self._status(topic, b"" if payload is None else _json(payload))

    @staticmethod
    def _status(topic: str, payload: bytes) -> Message:
        return Message(topic, payload, retain=True, qos=STATUS_QOS)


class DiscoveryTopics:
    """Topics of Home Assistant's MQTT discovery.

    Attributes:
        root: What the topics of all discovery messages begin with.
        configs: Topic filter for the discovery messages of all devices, of whatever program.
        birth: Where Home Assistant says that it has started.
    """

    def __init__(self, prefix: str) -> None:
        self.root = f"{prefix}/device/"
        self.configs = f"{self.root}+/config"
        self.birth = f"{prefix}/status"

    def config(self, device_id: str) -> str:
        """Return the topic of a device's discovery message."""
        return f"{self.root}{device_id}/config"

    def device_id_of(self, topic: str) -> str | None:
        """Return the device id if this is the topic of a device's discovery message, else None."""
        if not topic.startswith(self.root) or not topic.endswith("/config"):
            return None
        return topic[len(self.root) : -len("/config")]


def _json(payload: object) -> bytes:
    # A copy: orjson's bytes keep the 8 KiB buffer that they were written into, and messages may wait for long.
    return memoryview(orjson.dumps(payload)).tobytes()
