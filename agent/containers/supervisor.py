"""Makes the published status and the collector of each container follow what the engine says of the container.

    event, or row of the list ──► queue of the container ──► worker: inspect, apply ──► status, collector

An event tells what happened at one instant: the container started, or died with this exit code. An inspection tells
what holds now. Each worker inspects one container at a time, so a slow answer about one delays no other.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from agent.collection.collector import Collector
from agent.collection.context import CollectorContext
from agent.containers.container import RUNNING_STATES, Container, container_from_event
from agent.containers.inspector import ContainerInspector
from agent.containers.labels import parse_labels
from agent.containers.reconcile import RetainedStatusReconciler
from agent.containers.registry import ContainerRegistry
from agent.containers.tracked import TrackedContainer
from agent.containers.work_queue import DIE_ACTIONS, MOVE_ACTIONS, REMOVE_ACTIONS, WorkQueue
from agent.engine.errors import EngineUnreachableError
from agent.engine.protocol import Event
from agent.runtime.limits import ThreadLimitError
from agent.runtime.scheduler import Scheduler

log = logging.getLogger(__name__)

MAX_WORKERS = 8  # threads: as long as fewer inspections are slow, they delay no other container
THREAD_RETRY_SECONDS = 60.0  # until the next attempt to start a collector for which there was no thread

BEGIN_ACTIONS = frozenset({"create", "start"})
INSPECT_ACTIONS = BEGIN_ACTIONS | DIE_ACTIONS | MOVE_ACTIONS | {"pause", "unpause", "health_status", "oom", "update"}


class Supervisor:
    """Starts and stops the collectors, and publishes what became of each container."""

    def __init__(self, registry: ContainerRegistry, reconciler: RetainedStatusReconciler) -> None:
        self._registry = registry
        self._reconciler = reconciler
        self._scheduler = Scheduler("worker", MAX_WORKERS)
        self._queue = WorkQueue(self._scheduler, registry.lock, self._process, self._reconcile_retained)
        self._inspector = ContainerInspector(self._queue)
        self._context: CollectorContext | None = None  # written by set_context()
        self._listed = False  # the engine has given a list; written by resync(), under the registry's lock
        self._retained_read = False  # written by add_retained(), under the registry's lock
        self._stopped = False  # written by stop(), under the registry's lock
        self._reconciled = False  # written by _announce_earlier_ends(), under the registry's lock

    def set_context(self, context: CollectorContext) -> None:
        """Set the context of new collectors. Called after each connection to the engine, before `resync`."""
        self._context = context

    def stop(self) -> None:
        """Stop the workers, then the collectors. Returns at once; afterwards they publish nothing."""
        self._scheduler.stop()
        with self._registry.lock:
            self._stopped = True
            for collector in self.collectors:
                collector.stop()

    def publish_agent_exit(self) -> None:
        """Publish `stopped` for every container that runs on without the agent."""
        with self._registry.lock:
            for tracked in self._registry.list():
                if tracked.status.is_announced_running:
                    tracked.status.announce_stopped("agent exit")

    def handle_event(self, event: Event) -> None:
        """Queue an event. Only `create` or `start` makes an unknown container known.

        Raises:
            ThreadLimitError: there is no worker and none can be started.
        """
        if event.action in INSPECT_ACTIONS:
            with self._registry.lock:
                if event.action in BEGIN_ACTIONS:
                    own_label = parse_labels(event.attributes).name  # the labels are among the attributes
                    self._registry.get_or_create(event.id, own_label or event.name)
                if self._registry.get(event.id):
                    self._queue.add(event.id, event)

    def resync(self, rows: Iterable[Mapping[str, Any]], inspect_all: bool) -> None:
        """Compare the engine's list with the containers that are known, and inspect those that differ.

        Args:
            rows: the list, as the engine gave it.
            inspect_all: whether this is the first list of a new connection to the engine, at the start or after an
                outage. Then all containers are inspected, and every collector tries again now.

        Raises:
            ThreadLimitError: there is no worker and none can be started.
        """
        if inspect_all:
            for collector in self.collectors:
                collector.retry_now()
        states = {str(row.get("Id")): row.get("State") for row in rows}
        with self._registry.lock:
            for tracked in self._registry.list():
                state = states.pop(tracked.id, None)
                if state is None:
                    self._queue.add(tracked.id, Event.unlisted(tracked.id, time.time_ns()))
                elif inspect_all or (state in RUNNING_STATES) != tracked.runs:
                    self._queue.add(tracked.id, None)
            for container_id in states:
                self._registry.get_or_create(container_id, preexisting=not self._listed)
                self._queue.add(container_id, None)
            self._listed = True
            self._scheduler.schedule(self._reconcile_retained)

    def add_retained(self, retained: dict[str, bytes]) -> None:
        """Add the statuses, by topic, that an earlier run of the agent left retained on the broker.

        Called after each connect, even if there are none: before that it is not known which containers have no status.
        """
        self._reconciler.add(retained)
        with self._registry.lock:
            self._retained_read = True
            if self._listed:  # else resync() will schedule this
                self._scheduler.schedule(self._reconcile_retained)

    def request_inspect(self, container_id: str) -> None:
        """Queue an inspection of a container, because its readings fail, or have come back."""
        with self._registry.lock:
            if self._registry.get(container_id):
                self._queue.add(container_id, None)

    def retry_unreachable(self) -> None:
        """Let the collectors that could not reach the engine try again now.

        Called whenever the engine has accepted a subscription to its events. Most often the connection was never lost:
        the subscription is renewed after each `engine.timeout` without an event.
        """
        for collector in self.collectors:
            collector.retry_if_failed_with(EngineUnreachableError)

    @property
    def collectors(self) -> list[Collector]:
        """The collectors of all containers that have one."""
        with self._registry.lock:
            return [tracked.collector for tracked in self._registry.list() if tracked.collector]

    @property
    def troubles(self) -> list[tuple[str, str]]:
        """The containers that run without usages: the name of each, and the cause."""
        with self._registry.lock:
            statuses = [tracked.status for tracked in self._registry.list()]
            return [(status.name, status.trouble) for status in statuses if status.trouble]

    @property
    def reconciled(self) -> bool:
        """Whether each container has its status, and what an earlier run of the agent left retained was corrected."""
        return self._reconciled

    @property
    def complete(self) -> bool:
        """Whether all containers are known, and each collector has ended at its usage limit (`--once`)."""
        return self._listed and self._scheduler.idle and all(collector.finished for collector in self.collectors)

    # On the workers

    def _reconcile_retained(self) -> None:
        if self._is_settled() and self._reconciler.reconcile(self._is_settled):
            self._announce_earlier_ends()

    def _announce_earlier_ends(self) -> None:
        with self._registry.lock:
            if self._retained_read and self._is_settled():
                for tracked in self._registry.list():
                    tracked.announce_earlier_end()
                self._reconciled = True

    def _is_settled(self) -> bool:
        """Return whether the registry is complete, no event waits, and the supervisor was not stopped."""
        with self._registry.lock:
            return self._listed and self._queue.idle and not self._stopped

    def _process(self, container_id: str, event: Event | None) -> None:
        """Inspect one container, because of an event or (None) without one, and follow what the engine says."""
        tracked = self._registry.get(container_id)
        if tracked is None:
            return  # an earlier event of its queue has removed it
        assert self._context  # noqa: S101  # nothing is queued before set_context()
        found, exists = self._inspector.inspect(self._context, tracked, event)
        with self._registry.lock:
            if self._stopped:
                return  # the engine answered late; nothing may be published after stop()
            if found is None and tracked.status.container is None and event and event.action == "start":
                found = container_from_event(event)  # it started and was removed: the event is all there is
            if found:
                blockers = self._registry.blockers(found, self._queue.is_moving)
                if blockers and self._queue.defer(container_id, blockers):
                    return
            self._apply_inspection(tracked, event, found, exists)

    # With the registry's lock held

    def _apply_inspection(
        self, tracked: TrackedContainer, event: Event | None, found: Container | None, exists: bool
    ) -> None:
        """Make status and collector follow what `ContainerInspector.inspect` has returned: `found` and `exists`."""
        before, action = tracked.status.container, event.action if event else ""
        if found and before is None:
            tracked.note_first_inspection(found)
        if found and not self._registry.update(tracked, found):
            tracked.end("excluded")
            self._registry.release_level(tracked)
        elif event and action in DIE_ACTIONS:
            tracked.handle_die(event, before, found)
        elif found and tracked.status.is_announced_running and not tracked.is_same_run(found):
            tracked.handle_missed_die(before, found)
        if not exists and action in REMOVE_ACTIONS:
            self._remove(tracked)
        elif tracked.status.level is not None:
            self._start_or_refresh(tracked, found, action)

    def _start_or_refresh(self, tracked: TrackedContainer, found: Container | None, action: str) -> None:
        """Start the collector of a container that runs without one; else publish what has changed."""
        container = tracked.status.container
        if found and found.running and tracked.collector is None:
            self._start_collector(tracked, found)
        elif action == "start" and container and not tracked.is_known_run(container):
            tracked.announce_unseen_run()
        else:
            if found and found.running:
                tracked.update_trouble()
            tracked.status.refresh()

    def _start_collector(self, tracked: TrackedContainer, container: Container) -> None:
        assert self._context  # noqa: S101  # nothing is queued before set_context()
        try:
            tracked.begin(container, self._context, partial(self.request_inspect, tracked.id))
        except ThreadLimitError as error:
            self._context.warn_once.warn(str(error))
            tracked.status.set_trouble(str(error))
            tracked.status.refresh()
            self._queue.inspect_later(tracked.id, THREAD_RETRY_SECONDS)

    def _remove(self, tracked: TrackedContainer) -> None:
        # `docker rm --force` may send the event of the removal before that of the end.
        container = tracked.status.container
        tracked.end("exited", container and container.ended(None, None))
        tracked.end("removed")
        self._registry.remove(tracked)
        self._queue.forget(tracked.id)
