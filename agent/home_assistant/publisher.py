"""The life of the discovery messages on the broker: when each device is announced, changed, announced again, removed.

    ContainerRegistry ──► what is to be discovered ──┐
                                                     ├──► differences ──► Outbox
    Outbox, broker ─────► what was discovered ───────┘

The main thread compares the two once a second, if something may have changed. How Home Assistant takes these messages:

- It keeps all entities that a device ever had. So a message has to remove those that the device no longer has.
- It subscribes to a device's topics when it has read the discovery message. So statuses, which are retained, go first.
- For a moment after a removal it may publish an empty message of its own, which would erase a message that was sent at
  once. So a device is announced again a while after its removal.
- A value that cannot be read is an error in its log. So a retained status is cleared a while after its device.
"""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from agent.config import HomeAssistantSettings
from agent.containers.registry import ContainerRegistry
from agent.containers.supervisor import Supervisor
from agent.home_assistant.devices import host_device_id
from agent.home_assistant.discovery import Discovered, Ids, read_payload, summarize, with_removals
from agent.home_assistant.inventory import Inventory
from agent.home_assistant.leftovers import left_behind
from agent.messages.outbox import Outbox
from agent.messages.topics import DiscoveryTopics, MessageBuilder
from agent.mqtt.subscription import Subscription

BIRTH = b"online"  # the payload of Home Assistant's birth message
BIRTH_WAIT_SECONDS = (1.0, 3.0)  # shortest and longest wait, random between: many agents hear the same birth
MIGRATION_SECONDS = 15.0  # nothing is published for so long after another program has announced the host's device
PAUSE_SECONDS = 1.0  # after a removal, once the broker has it, until the device's topics are used for something else


@dataclass(slots=True)
class _Removed:
    """A device that was removed a moment ago."""

    values_topic: str
    pause_ends: float | None = None  # monotonic; None until the broker has answered


class DiscoveryPublisher:
    """Publishes the discovery messages. For the main thread, except for the methods that name another thread.

    Args:
        settings: whether Home Assistant is enabled, and the prefix.
        inventory: what there is to discover.
        registry: the containers.
        supervisor: says when all containers are known.
        messages: composes messages.
        outbox: where the messages go.
    """

    def __init__(
        self,
        settings: HomeAssistantSettings,
        inventory: Inventory,
        registry: ContainerRegistry,
        supervisor: Supervisor,
        messages: MessageBuilder,
        outbox: Outbox,
    ) -> None:
        self._settings = settings
        self._topics = DiscoveryTopics(settings.prefix)
        self._inventory = inventory
        self._registry = registry
        self._supervisor = supervisor
        self._messages = messages
        self._outbox = outbox
        self._announced: dict[str, bytes] = {}  # payloads of this run, by topic
        self._discovered: dict[str, Discovered] = {}  # what the agent has on the broker, by topic
        self._removed: dict[str, _Removed] = {}  # by topic
        self._taken: set[str] = set()  # device ids of other agents; never removed, so that our ids stay the same
        self._changed = False  # whether to compare at the next opportunity
        self._revision = -1  # of the registry, at the last comparison
        self._was_read = False  # whether what the broker had retained was read
        self._resend_at: float | None = None  # monotonic; None if Home Assistant was not restarted
        self._migration_ends = -inf  # monotonic; nothing is published before
        self._lock = threading.Lock()  # guards what follows, which the publisher's thread writes
        self._retained: dict[str, bytes] | None = None
        self._born = False  # whether a birth message has come in
        self._foreign = False  # whether another program has announced the host's device

    # On the publisher's thread

    def subscription(self) -> Subscription:
        """Return what to subscribe to: the agent's own topics, and Home Assistant's if it is enabled."""
        own, settings = self._messages.own_topics, self._settings
        if not settings.enabled:
            return Subscription(own)
        topics, device_id = DiscoveryTopics(settings.prefix), host_device_id(self._messages.host)
        device, announced = topics.root + device_id, topics.config(device_id)
        return Subscription(
            own,
            optional={
                topics.configs: "cannot remove outdated devices from Home Assistant",
                topics.birth: "does not hear when Home Assistant starts",
                announced: "does not hear of a migration",
            },
            wants=lambda topic: topic.startswith((own.removesuffix("#"), device)),  # not the devices of other programs
            live=(topics.birth, announced),
        )

    def add_retained(self, retained: Mapping[str, bytes]) -> None:
        """Take what the broker had retained, by topic. Called after each connect, also if there is nothing."""
        with self._lock:
            self._retained = {**(self._retained or {}), **retained}

    def note_message(self, topic: str, payload: bytes) -> bool:
        """Note a message of Home Assistant about itself, or another program's discovery message of the host's device.

        Return whether to read again what is retained: `usage-agent migrate-discovery` announces the host before and
        after it changes devices. It puts a space behind the payload, so that it differs from the agent's own.
        """
        with self._lock:
            self._born |= topic == self._topics.birth and payload == BIRTH
            is_foreign = topic != self._topics.birth and payload not in (b"", self._announced.get(topic))
            self._foreign |= is_foreign
        return is_foreign

    # On the main thread

    def configure(self, settings: HomeAssistantSettings) -> None:
        """Use other settings from now on. Afterwards call `add_retained`, when what is retained was read again."""
        self._settings = settings
        self._topics = DiscoveryTopics(settings.prefix)
        self._was_read = False
        self._changed = True

    def set_interval(self, interval: float) -> None:
        """Announce anew what depends on the seconds between two usages: when a value expires."""
        self._inventory.interval = interval
        self._changed = True

    def run_pending(self, now: float) -> bool:
        """Publish what is due at the monotonic moment `now`. Return whether the host's device was announced."""
        self._take_incoming(now)
        if now < self._migration_ends:
            return False
        self._end_pauses(now)
        announced = self._publish_changes(now)
        if self._resend_at is not None and now >= self._resend_at:  # after the changes, so that these are sent, too
            self._resend_at = None
            self._outbox.resend_retained(first=self._topics.root)
        return announced

    def _publish_changes(self, now: float) -> bool:
        if not self._supervisor.reconciled or (self._settings.enabled and not self._was_read):
            return False
        revision = self._registry.revision
        if not self._changed and revision == self._revision:
            return False
        self._changed, self._revision = False, revision
        return self._publish_differences(now)

    def release(self, level: str) -> bool:
        """Return whether no device reads this level's topics any more; begin to remove a device that does.

        For the status of a container that is gone: it may be cleared when this returns True.
        """
        values_topic = self._messages.container_topics(level)[1]
        for topic, found in list(self._discovered.items()):
            if found.values_topic == values_topic:
                self._remove(topic)
        return all(removed.values_topic != values_topic for removed in self._removed.values())

    def _take_incoming(self, now: float) -> None:
        with self._lock:
            retained, self._retained = self._retained, None
            born, self._born = self._born, False
            foreign, self._foreign = self._foreign, False
        if foreign:
            self._migration_ends = now + MIGRATION_SECONDS
        if born and self._settings.enabled:
            self._resend_at = now + random.uniform(*BIRTH_WAIT_SECONDS)  # noqa: S311 - it spreads load, guards nothing
        if retained is not None:
            self._was_read = self._changed = True
            self._adopt(retained)

    def _adopt(self, retained: Mapping[str, bytes]) -> None:
        """Take over what an earlier run of the agent has left, and note which device ids others use."""
        for topic, payload in retained.items():
            device_id = self._topics.device_id_of(topic)
            found = read_payload(payload) if device_id else None
            if device_id and found and found.agent_topic.endswith(self._messages.agent_topic_end):
                self._discovered[topic] = found
            elif device_id and payload:
                self._taken.add(device_id)
        prefix = self._settings.prefix if self._settings.enabled else None
        for topic, found in left_behind(retained, self._messages, prefix).items():
            self._discovered.setdefault(topic, found)

    def _end_pauses(self, now: float) -> None:
        for topic, removed in list(self._removed.items()):
            if removed.pause_ends is None and self._outbox.is_cleared(topic):
                removed.pause_ends = now + PAUSE_SECONDS
            elif removed.pause_ends is not None and now >= removed.pause_ends:
                del self._removed[topic]
                self._changed = True

    def _publish_differences(self, now: float) -> bool:
        """Announce what has changed, and remove what is no more. Return whether the host's device was announced."""
        if not self._settings.enabled:
            for topic in list(self._discovered):
                self._remove(topic)
            return False
        payloads, later, is_complete = self._inventory.find(now, self._taken, self._kept_ids)
        if not is_complete:
            self._changed = True  # look again at the next opportunity
            if not self._announced:
                return False  # first all of them together: see docs/decisions/0007-home-assistant.md
        announced = [self._announce(self._topics.config(device_id), payload) for device_id, payload in payloads.items()]
        present = {self._topics.config(device_id) for device_id in payloads.keys() | later}
        for topic in self._discovered.keys() - present:
            if not self._is_status_held(topic):
                self._remove(topic)
        return announced[0]  # the host's

    def _announce(self, topic: str, payload: dict[str, Any]) -> bool:
        """Publish a discovery message unless it is on the broker. Return whether it was published."""
        message = self._messages.discovery(topic, payload)
        if self._announced.get(topic) == message.payload or topic in self._removed:
            return False
        earlier = self._discovered.get(topic)
        complete = with_removals(payload, earlier.platforms) if earlier else payload
        self._announced[topic] = message.payload  # before it can come back from the broker, see note_message()
        self._discovered[topic] = summarize(payload)
        self._outbox.add_status(message if complete is payload else self._messages.discovery(topic, complete))
        return True

    def _remove(self, topic: str) -> None:
        self._announced.pop(topic, None)
        self._removed[topic] = _Removed(self._discovered.pop(topic).values_topic)
        self._outbox.add_status(self._messages.discovery(topic, None))

    def _is_status_held(self, topic: str) -> bool:
        """Return whether a device is of a removed container whose retained status was not cleared yet."""
        level = self._messages.level_of_usages(self._discovered[topic].values_topic)
        return self._topics.device_id_of(topic) is not None and level is not None and self._registry.is_leftover(level)

    def _kept_ids(self, device_id: str) -> Ids:
        found = self._discovered.get(self._topics.config(device_id))
        return found.unique_ids if found else {}
