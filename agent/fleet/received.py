"""What a message is about, by its topic. Pure.

    <base>/<host>/status               status, without a container
    <base>/<host>/agent                agent: the agent's counters
    <base>/<host>/<container>/status   status; an empty payload: it is cleared
    <base>/<host>/<container>/usage    usage

A container may have several levels, as `topics.container` says. Any other message is not an agent's.
"""

from dataclasses import dataclass
from typing import Literal

import orjson

from agent.fleet.documents import Document

MAX_PAYLOAD_BYTES = 1 << 16  # an agent's largest message, a status with its last usage, has 4 KB
MAX_NESTED = 200  # objects and lists of a payload; an agent's has 20. JSON of more than 254 levels cannot be written
MAX_TOPIC_CHARACTERS = 2000

Kind = Literal["usage", "status", "agent"]


@dataclass(frozen=True, slots=True)
class Received:
    """A message of an agent.

    Attributes:
        kind: the last level of its topic.
        host: the host's topic level.
        level: the container's topic level or levels; None for the agent's own messages.
        topic: the whole topic.
        payload: the document; None if a retained status is cleared.
    """

    kind: Kind
    host: str
    level: str | None
    topic: str
    payload: Document | None


def receive(base: str, topic: str, payload: bytes) -> Received | None:
    """Return what a message says, or None if it cannot be an agent's.

    Args:
        base: first levels of the agents' topics, `topics.base`.
        topic: of the message.
        payload: of the message.
    """
    root = f"{base}/"
    if not topic.startswith(root) or is_too_long(topic, payload):
        return None
    host, *levels = topic.removeprefix(root).split("/")
    if not host or not levels or not all(levels):
        return None
    kind = _kind(levels)
    if kind is None:
        return None
    level = "/".join(levels[:-1]) or None
    if not payload:
        return Received(kind, host, level, topic, None) if kind == "status" else None
    document = _load(payload)
    return None if document is None else Received(kind, host, level, topic, document)


def is_too_long(topic: str, payload: bytes) -> bool:
    """Return whether a message is longer than any of an agent's."""
    return len(topic) > MAX_TOPIC_CHARACTERS or len(payload) > MAX_PAYLOAD_BYTES


def _kind(levels: list[str]) -> Kind | None:
    match levels:
        case ["status"] | [_, *_, "status"]:
            return "status"
        case ["agent"]:
            return "agent"
        case [_, *_, "usage"]:
            return "usage"
    return None


def _load(payload: bytes) -> Document | None:
    if payload.count(b"{") + payload.count(b"[") > MAX_NESTED:
        return None
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
