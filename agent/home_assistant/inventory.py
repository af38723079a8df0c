"""What there is to discover: the host, and each container that has a status. For the main thread."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from agent import __version__
from agent.containers.registry import ContainerRegistry
from agent.containers.tracked import TrackedContainer
from agent.home_assistant.devices import NamedContainer, container_device_ids, entity_slug, host_device_id
from agent.home_assistant.discovery import Device, Ids, Topics, container_payload, host_payload
from agent.messages.topics import MessageBuilder

FIRST_USAGE_SECONDS = 3.0  # the longest wait for a container's first usage, which shows what can be measured


@dataclass(slots=True)
class _Known:
    """What is known of one container. Facts are only added, so that no entity disappears because of a failure.

    Attributes:
        deadline: monotonic; from then on the container is discovered without a usage too.
        has_usages: whether there was a usage.
        has_network: whether the network was measured.
        has_health: whether it has a health check.
    """

    deadline: float
    has_usages: bool = False
    has_network: bool = False
    has_health: bool = False


class Found(NamedTuple):
    """What there is to discover now.

    Attributes:
        payloads: the discovery messages by device id, the host's first.
        later: ids of the other devices: of containers that have not run yet, or whose first usage is waited for.
        is_complete: whether no usage is waited for.
    """

    payloads: dict[str, dict[str, Any]]
    later: frozenset[str]
    is_complete: bool


class Inventory:
    """Looks up what there is to discover.

    Attributes:
        interval: as in the arguments; it may be changed.

    Args:
        registry: the containers.
        messages: knows the host and the topics.
        interval: seconds between two usages of a container without an interval of its own, and between two
            publications of the agent's counters.
        has_machine: whether the agent's counters tell about the machine.
    """

    def __init__(
        self,
        registry: ContainerRegistry,
        messages: MessageBuilder,
        interval: float,
        has_machine: bool,
    ) -> None:
        self._registry = registry
        self._messages = messages
        self.interval = interval
        self._has_machine = has_machine
        self._known: dict[str, _Known] = {}  # by container id

    def find(self, now: float, taken: Collection[str], kept: Callable[[str], Ids]) -> Found:
        """Return what there is to discover at the monotonic moment `now`.

        Args:
            now: the present moment.
            taken: device ids that other agents use.
            kept: returns the unique ids that the entities of a device have already, by its id.
        """
        with self._registry.lock:
            selected = {tracked.id: tracked for tracked in self._registry.list() if tracked.status.level is not None}
            ids = container_device_ids(self._messages.host, map(_named, selected.values()), taken)
            host_id = host_device_id(self._messages.host, taken)
            payloads = {host_id: self._host(host_id, kept(host_id))}
            published = {key: tracked for key, tracked in selected.items() if tracked.status.is_published}
            self._update(published, now)
            is_complete = True
            for container_id, tracked in published.items():
                known, device_id = self._known[container_id], ids[container_id]
                if known.has_usages or now >= known.deadline or not tracked.status.is_announced_running:
                    payloads[device_id] = self._container(tracked, device_id, host_id, known, kept(device_id))
                else:
                    is_complete = False
            return Found(payloads, frozenset(ids.values()) - payloads.keys(), is_complete)

    def _update(self, published: Mapping[str, TrackedContainer], now: float) -> None:
        for container_id in self._known.keys() - published.keys():
            del self._known[container_id]
        for container_id, tracked in published.items():
            known = self._known.setdefault(container_id, _Known(now + FIRST_USAGE_SECONDS))
            if usage := tracked.status.last_usage:
                known.has_usages = True
                known.has_network |= "network" in usage
            known.has_health |= tracked.status.container is not None and tracked.status.container.health is not None

    def _host(self, device_id: str, kept: Ids) -> dict[str, Any]:
        host, agent_topic = self._messages.host, self._messages.agent_topic
        device = Device(
            device_id, entity_slug(host), host, manufacturer="usage-agent", model="Docker host", version=__version__
        )
        topics = Topics(agent_topic, agent_topic, self._messages.counters_topic)
        return host_payload(device, topics, self.interval, self._has_machine, kept)

    def _container(
        self, tracked: TrackedContainer, device_id: str, host_id: str, known: _Known, kept: Ids
    ) -> dict[str, Any]:
        status = tracked.status
        assert status.level is not None and status.container  # noqa: S101, PT018  # else it is not published
        device = Device(
            device_id,
            entity_slug(self._messages.host, status.name),
            status.name,
            via=host_id,
            manufacturer="Docker",
            model=status.container.image or None,
        )
        topics = Topics(self._messages.agent_topic, *self._messages.container_topics(status.level))
        has_network = known.has_network or not known.has_usages
        interval = status.container.agent_labels.interval or self.interval
        return container_payload(device, topics, interval, has_network, known.has_health, kept)


def _named(tracked: TrackedContainer) -> NamedContainer:
    status = tracked.status
    return NamedContainer(tracked.id, status.name, status.container.name if status.container else status.name)
