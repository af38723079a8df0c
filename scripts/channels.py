"""Every topic that the agent publishes on, as agent/messages/topics.py composes it; for the documents."""

from dataclasses import dataclass
from typing import Any

from agent.config.settings import Config
from agent.messages.topics import DiscoveryTopics, Message, MessageBuilder


@dataclass(frozen=True)
class Channel:
    """A topic with its levels in braces.

    Attributes:
        name: identifier of the channel in docs/asyncapi.yaml.
        message: what is published there, without a payload.
        definition: the payload in the schema; None if it is not described there.
        meaning: what the message says, in one line.
    """

    name: str
    message: Message
    definition: str | None
    meaning: str


def channels() -> list[Channel]:
    """Return all channels, those that subscribers need first."""
    none: Any = {}
    build = MessageBuilder("{base}", "{host}", Config().broker.qos)
    discovery = build.discovery(DiscoveryTopics("{prefix}").config("{device}"), none)
    return [
        Channel("usage", build.usage("{container}", none), "Usage", "usage of a container in one interval"),
        Channel(
            "containerStatus",
            build.container_status("{container}", none),
            "ContainerStatus",
            "whether usages of the container are published, and if not, why; an empty payload clears it",
        ),
        Channel(
            "agentStatus",
            build.agent_status(none),
            "AgentStatus",
            "whether the agent runs; published by the broker, as its will, if the agent is lost",
        ),
        Channel("agentCounters", build.agent_counters(none), "AgentCounters", "the agent's counters, once an interval"),
        Channel("discovery", discovery, None, "a device of Home Assistant, with `home_assistant.enabled`"),
        Channel("check", build.check(""), None, "one message of `usage-agent check`; no subscriber needs it"),
        Channel(
            "docker2mqtt",
            build.backup("{container}", none),
            None,
            "what docker2mqtt had announced of the container, after `usage-agent migrate-discovery`",
        ),
    ]
