"""Topics and messages: the only place where a topic is spelled.

    <base>/<host>/status               retained   the agent
    <base>/<host>/agent                           the agent's own counters
    <base>/<host>/<container>/status   retained   a container's usage stream
    <base>/<host>/<container>/usage               one usage

Pure: payload dictionaries in, bytes out.
"""

import re
from dataclasses import dataclass

import orjson

from agent.messages.payloads import AgentCounters, AgentStatus, ContainerStatus, Usage

# What MQTT gives a meaning to or advises against in a topic name, and lone surrogates, which UTF-8 cannot carry. Some
# brokers (mosquitto) end the connection over a control character or a code point that is no character.
_NO_CHARACTERS = "\ufdd0-\ufdef" + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))

_UNSAFE = re.compile(f"[/+#\x00-\x1f\x7f-\x9f\ud800-\udfff{_NO_CHARACTERS}]")


def safe(text: str) -> str:
    """Make one topic level of any text; never empty, never more than one level."""
    return _UNSAFE.sub("_", text) or "_"


STATUS_QOS = 1  # a lost status would be believed until the next one


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker is given: a topic, the bytes, whether it keeps them for later subscribers, and the QoS."""

    topic: str
    payload: bytes
    retain: bool
    qos: int


class MessageBuilder:
    """Everything the agent says, addressed. `qos` is that of usages; statuses always go with 1."""

    def __init__(self, base: str, host: str, qos: int) -> None:
        self._root = f"{base}/{safe(host)}"
        self._qos = qos
        self.own_topics = f"{self._root}/#"

    def usage(self, level: str, payload: Usage) -> Message:
        """One usage of the container at this level."""
        return Message(f"{self._root}/{level}/usage", _json(payload), retain=False, qos=self._qos)

    def container_status(self, level: str, payload: ContainerStatus) -> Message:
        """How the usage stream of the container at this level stands."""
        return self._status(f"{self._root}/{level}/status", _json(payload))

    def container_cleared(self, level: str) -> Message:
        """Take the retained status at this level away: an empty retained payload (MQTT 3.1.1, 3.3.1.3)."""
        return self._status(f"{self._root}/{level}/status", b"")

    def agent_status(self, payload: AgentStatus) -> Message:
        """The agent itself; also its will."""
        return self._status(f"{self._root}/status", _json(payload))

    def agent_counters(self, payload: AgentCounters) -> Message:
        """What the agent did so far."""
        return Message(f"{self._root}/agent", _json(payload), retain=False, qos=STATUS_QOS)

    def level_of(self, topic: str) -> str | None:
        """Return what stands for the container in one of our own status topics, or None."""
        prefix, suffix = f"{self._root}/", "/status"
        if not topic.startswith(prefix) or not topic.endswith(suffix):
            return None
        return topic[len(prefix) : -len(suffix)] or None

    @staticmethod
    def _status(topic: str, payload: bytes) -> Message:
        return Message(topic, payload, retain=True, qos=STATUS_QOS)


def _json(payload: object) -> bytes:
    # A copy: orjson's own bytes keep the 8 KiB that they were written into, and messages may wait for long.
    return memoryview(orjson.dumps(payload)).tobytes()
