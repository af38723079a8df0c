"""All containers that the engine knows, by id, each with its topic level."""

import logging
import threading
import time
from collections.abc import Callable
from itertools import takewhile

from agent.containers.container import Container
from agent.containers.filter import ContainerFilter
from agent.containers.retention import StatusRetention
from agent.containers.status import ContainerStatusPublisher
from agent.containers.summary import ContainerSummary, summarize
from agent.containers.topic_names import TopicNames
from agent.containers.tracked import TrackedContainer
from agent.messages.outbox import Outbox
from agent.messages.payloads import ContainerStatus
from agent.messages.topics import MessageBuilder

log = logging.getLogger(__name__)


class ContainerRegistry:
    """The containers by id.

    Decisions about a container are made with `lock` held, so that nothing changes before they are carried out. No
    thread waits or calls the engine while it holds the lock.
    """

    def __init__(
        self,
        names: TopicNames,
        selection: ContainerFilter,
        retention: StatusRetention,
        outbox: Outbox,
        messages: MessageBuilder,
    ) -> None:
        self.lock = threading.RLock()  # guards the containers, their statuses and their names
        self._names = names
        self._selection = selection
        self._retention = retention
        self._outbox = outbox
        self._messages = messages
        self._containers: dict[str, TrackedContainer] = {}  # in the order in which they became known
        self.revision = 0  # counts the changes of containers' descriptions and topic levels

    def select(self, selection: ContainerFilter) -> None:
        """Use another filter. It takes effect for each container when the container is inspected next."""
        with self.lock:
            self._selection = selection

    def get(self, container_id: str) -> TrackedContainer | None:
        """Return a container, or None if the engine does not know it."""
        with self.lock:
            return self._containers.get(container_id)

    def get_or_create(self, container_id: str, name: str = "", preexisting: bool = False) -> TrackedContainer:
        """Return a container; a new one if it is not known yet.

        Args:
            container_id: 64 hexadecimal digits.
            name: a new container's name in messages; empty if it is not known before the first inspection.
            preexisting: whether a new container was in the first list that the engine gave to this agent.
        """
        with self.lock:
            if container_id not in self._containers:
                status = ContainerStatusPublisher(name or container_id[:12], self._outbox, self._messages)
                self._containers[container_id] = TrackedContainer(container_id, status, preexisting)
            return self._containers[container_id]

    def list(self) -> list[TrackedContainer]:
        """Return every container, in the order in which they became known."""
        with self.lock:
            return list(self._containers.values())

    def owner(self, level: str) -> TrackedContainer | None:
        """Return the container that is published at this topic level; None if there is none."""
        return next((tracked for tracked in self.list() if tracked.status.level == level), None)

    def blockers(self, container: Container, is_moving: Callable[[str], bool]) -> set[str]:
        """Return the ids of the containers that have to leave this container's topic level first.

        Compose removes or renames one container and gives its name to another one at once. Each is inspected on its
        own, so the newer one may be inspected first. If it did not wait for the older one, it would be published at
        another level for a moment.

        Args:
            container: as the engine describes it now.
            is_moving: returns whether a removal or rename of the container with this id is not processed yet. Called
                with the lock held.
        """
        with self.lock:
            # Containers that claim the same level now.
            competitors = self._names.competitors(container)
            # Containers that became known earlier, with this name. They have no claim before they are inspected.
            earlier = takewhile(lambda tracked: tracked.id != container.id, self._containers.values())
            name = container.agent_labels.name or container.name
            namesakes = {tracked.id for tracked in earlier if tracked.status.name == name}
            moving = {container_id for container_id in competitors | namesakes if is_moving(container_id)}
            # No engine gives one name to two containers. A competitor still recorded under this name is stale: its
            # rename or removal has not been processed yet.
            stale_competitors = {other_id for other_id in competitors if self._is_named(other_id, container.name)}
            return moving | stale_competitors

    def update(self, tracked: TrackedContainer, container: Container) -> bool:
        """Record what the engine says of a container now. Return whether the container is selected."""
        with self.lock:
            self.revision += 1
            own_name = self._names.base_name(container)
            tracked.status.describe(container, self._names.shown_name(container))
            for mistake in tracked.take_label_mistakes(container):
                log.warning("%s: %s", own_name, mistake)
            selected = self._selection.matches(own_name, container.labels)
            if selected:
                self._move(self._names.allocate(container))
            return selected

    def is_excluded(self, tracked: TrackedContainer) -> bool:
        """Return whether the filter leaves out this container; also true before its first inspection.

        Whether it has a level tells nothing: a selected container has none while it has a temporary name of Compose's.
        """
        with self.lock:
            return not self._names.has_claim(tracked.id)

    def summarize(self) -> ContainerSummary:
        """Return figures over all containers that the filter does not leave out."""
        with self.lock:
            return summarize(tracked for tracked in self._containers.values() if not self.is_excluded(tracked))

    def release_level(self, tracked: TrackedContainer) -> None:
        """Take a container's topic level away. Another container may get the level."""
        with self.lock:
            self.revision += 1
            tracked.status.release_level()
            self._move(self._names.release(tracked.id))

    def remove(self, tracked: TrackedContainer) -> None:
        """Drop a container that the engine has removed. Its retained status is cleared later, if at all."""
        with self.lock:
            level, last_status = tracked.status.level, tracked.status.last_status
            del self._containers[tracked.id]
            self.release_level(tracked)
            if last_status and level is not None and self.owner(level) is None:
                self._retention.on_removed(level, time.monotonic())

    def publish_status(self, level: str, status: ContainerStatus) -> None:
        """Publish the status of a container that the engine may not know any more."""
        self._outbox.add_status(self._messages.container_status(level, status))

    def clear_expired(self, now: float, may_clear: Callable[[str], bool] = lambda _level: True) -> None:
        """Clear the retained statuses that have expired.

        Args:
            now: the present moment, monotonic.
            may_clear: begins what has to come before the clearing of a topic level, and returns whether that is done.
                Called with the lock held.
        """
        with self.lock:
            for level in self._retention.expired(now):
                is_free = self.owner(level) is None
                if is_free and not may_clear(level):
                    continue
                self._retention.release(level)
                if is_free:
                    log.info("forgetting %s: its container was removed or has another name now", level)
                    self._outbox.add_status(self._messages.container_cleared(level))

    def is_leftover(self, level: str) -> bool:
        """Return whether the retained status at this topic level is left from a container that is gone."""
        return self._retention.is_leftover(level)

    def _is_named(self, container_id: str, name: str) -> bool:
        tracked = self._containers.get(container_id)
        return tracked is not None and tracked.status.container is not None and tracked.status.container.name == name

    def _move(self, levels: dict[str, str | None]) -> None:
        """Move containers to new levels, by id; None: to no level. Levels that are left free are cleared later."""
        moved = [
            tracked
            for tracked in map(self._containers.get, levels)
            if tracked and tracked.status.level != levels[tracked.id]
        ]
        taken = set(levels.values())
        for tracked in moved:
            old, new = tracked.status.level, levels[tracked.id]
            tracked.status.move(new, old_becomes_free=old not in taken)
            if old is not None and old not in taken:
                self._retention.on_vacated(old, time.monotonic())
            if new is not None:
                self._retention.release(new)
                if new != self._names.plain_level(tracked.id):
                    log.warning("%s is published as %s: an older container has that level", tracked.status.name, new)
