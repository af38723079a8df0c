"""Devices that an earlier run of the agent has left behind where this one does not look. Pure.

The agent's own retained status names the prefix of the discovery messages that it has published. If Home Assistant was
disabled since, or the prefix changed, these messages are to be removed. No subscription to their topics is needed: each
container with a device has a retained status, because a device is always removed before the status.
"""

from collections.abc import Mapping

from agent.home_assistant.devices import NamedContainer, container_device_ids, host_device_id
from agent.home_assistant.discovery import Discovered
from agent.messages.documents import read_object
from agent.messages.topics import DiscoveryTopics, MessageBuilder


def left_behind(retained: Mapping[str, bytes], messages: MessageBuilder, prefix: str | None) -> dict[str, Discovered]:
    """Return the devices that an earlier run announced with another prefix, by the topic of their discovery message.

    They are derived from the retained statuses: the agent's has the prefix, the containers' have their names.

    Args:
        retained: what the broker has retained of the agent's topics.
        messages: knows the host and the topics.
        prefix: the present one; None if Home Assistant is not enabled.
    """
    earlier = read_object(retained.get(messages.agent_topic, b"")).get("home_assistant")
    if not isinstance(earlier, str) or earlier == prefix:
        return {}
    topics, host = DiscoveryTopics(earlier), messages.host
    levels: dict[str, str] = {}  # by container id
    containers: list[NamedContainer] = []
    for topic, payload in retained.items():
        level, status = messages.level_of(topic), read_object(payload)
        container = status.get("container")
        if level is None or not isinstance(container, dict) or status.get("reason") == "excluded":
            continue
        container_id, name = str(container.get("id")), str(container.get("name"))
        levels[container_id] = level
        containers.append(NamedContainer(container_id, name, name))
    devices = {
        topics.config(device_id): _device(messages, messages.container_topics(levels[container_id])[1])
        for container_id, device_id in container_device_ids(host, containers).items()
    }
    return {**devices, topics.config(host_device_id(host)): _device(messages, messages.counters_topic)}


def _device(messages: MessageBuilder, values_topic: str) -> Discovered:
    return Discovered(messages.agent_topic, values_topic, {}, {})
