"""All containers that the engine knows, each with the level it speaks at."""

import logging
import threading
import time
from itertools import chain, takewhile

from agent.containers.container import Container
from agent.containers.filter import ContainerFilter
from agent.containers.retention import StatusRetention
from agent.containers.topic_names import TopicNames
from agent.containers.tracked import TrackedContainer
from agent.messages.outbox import Outbox
from agent.messages.payloads import ContainerStatus
from agent.messages.topics import MessageBuilder, safe

log = logging.getLogger(__name__)

HANDOVER_SECONDS = 1.0  # seconds to wait for a level that is about to become free; settling takes milliseconds


class ContainerRegistry:
    """The containers by id. Whoever decides about one holds `lock`; nothing that is done under it can block."""

    def __init__(
        self,
        names: TopicNames,
        selection: ContainerFilter,
        retention: StatusRetention,
        outbox: Outbox,
        messages: MessageBuilder,
    ) -> None:
        self.lock = threading.Condition(threading.RLock())
        self._names = names
        self._selection = selection
        self._retention = retention
        self._outbox = outbox
        self._messages = messages
        self._registry: dict[str, TrackedContainer] = {}

    def get(self, container_id: str) -> TrackedContainer | None:
        """The life of this container, if the engine knows it."""
        with self.lock:
            return self._registry.get(container_id)

    def get_or_create(self, container_id: str, name: str = "") -> TrackedContainer:
        """The life of this container; a new one if it was not known, of this name if that is known already."""
        with self.lock:
            if container_id not in self._registry:
                self._registry[container_id] = TrackedContainer(container_id, name, self._outbox, self._messages)
            return self._registry[container_id]

    def list(self) -> list[TrackedContainer]:
        """Every container, in the order they became known."""
        with self.lock:
            return list(self._registry.values())

    def owner(self, level: str) -> TrackedContainer | None:
        """Who speaks at this level."""
        return next((life for life in self.list() if life.level == level), None)

    def describe(self, life: TrackedContainer, container: Container) -> bool:
        """Take in what the engine says of a container now; whether it is one to look after."""
        with self.lock:
            # Compose removes or renames one container and gives its name to another at once. Each is settled on its
            # own, so the new one may be first: it waits for the level rather than speak at another for a moment.
            self.lock.wait_for(lambda: not self._handed_over(container), HANDOVER_SECONDS)
            life.container = container
            life.name = self._names.base_name(container)
            selected = self._selection.matches(life.name, container.labels)
            if selected:
                self._relevel(self._names.allocate(container))
            return selected

    def moved(self, life: TrackedContainer) -> None:
        """A rename or removal of this container was settled."""
        with self.lock:
            life.pending_moves -= 1
            self.lock.notify_all()

    def exclude(self, life: TrackedContainer) -> None:
        """The container is not looked after any more; its level is free for others."""
        with self.lock:
            life.level, life.last_status = None, None
            self._relevel(self._names.release(life.id))

    def remove(self, life: TrackedContainer) -> None:
        """The container is gone from the engine; what was last said of it is forgotten in time."""
        with self.lock:
            level, told = life.level, life.last_status
            del self._registry[life.id]
            self.exclude(life)
            if told and level is not None and self.owner(level) is None:
                self._retention.on_removed(level, time.monotonic())

    def publish_status(self, level: str, status: ContainerStatus) -> None:
        """Publish the status of a container that the engine may not know any more."""
        self._outbox.add_status(self._messages.container_status(level, status))

    def clear_expired(self, now: float) -> None:
        """Clear the retained statuses whose time has come; `now` is of the monotonic clock."""
        with self.lock:
            for level in self._retention.take_expired(now):
                if self.owner(level) is None:
                    log.info("forgetting %s: its container was removed or has another name now", level)
                    self._outbox.add_status(self._messages.container_cleared(level))

    def _handed_over(self, container: Container) -> bool:
        """Whether another container still has this one's level, or is to have it first, but is about to leave it."""
        rivals = [life for life in map(self._registry.get, self._names.competitors(container)) if life]
        earlier = takewhile(lambda life: life.id != container.id, self._registry.values())
        namesakes = (life for life in earlier if life.name == container.name)
        if any(life.pending_moves for life in chain(rivals, namesakes)):
            return True
        # No engine gives one name to two containers: the other has lost it, and the event that says so is on its way.
        return any(life.container and life.container.name == container.name for life in rivals)

    def _relevel(self, levels: dict[str, str | None]) -> None:
        lives = [life for life in map(self._registry.get, levels) if life and life.level != levels[life.id]]
        taken = set(levels.values())
        for life in lives:
            old, new = life.level, levels[life.id]
            life.move(new, vacate=old not in taken)
            if old is not None and old not in taken:
                self._retention.on_vacated(old, time.monotonic())
            if new is not None:
                self._retention.keep(new)
                if new.endswith(f"-{safe(life.id[:12])}"):
                    log.warning("%s is published as %s: an older container has that level", life.name, new)
