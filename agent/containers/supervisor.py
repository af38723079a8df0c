"""Exactly one collector per running container, through everything that can happen to a container.

    event, or a line of the list ──► one queue per container ──► a worker: inspect, settle ──► Life: status, collector

What an event says is believed for its instant (it ran, it died with this exit code); what holds now is asked for.
Asking happens on the workers, one at a time for each container: a slow answer about one container delays nobody else.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from agent.collection.collector import Collector, CollectorContext
from agent.containers.container import Container, container_from_event, parse_inspect_of
from agent.containers.reconcile import RetainedStatusReconciler
from agent.containers.registry import ContainerRegistry
from agent.containers.tracked import Reason, TrackedContainer
from agent.engine.errors import EngineError, NoSuchContainerError
from agent.engine.protocol import Event
from agent.runtime.limits import ThreadLimitError
from agent.runtime.timestamps import format_time, parse_time
from agent.runtime.workers import AHEAD, Workers

log = logging.getLogger(__name__)

# Seconds to the next look at a container of which the engine said nothing: at first, and at last.
AGAIN, SELDOM = 1.0, 60.0

BEGIN = frozenset({"create", "start"})
END = frozenset({"destroy", "remove"})  # Docker's word and Podman's
MOVE = END | {"rename"}
LOOK = BEGIN | MOVE | {"die", "died", "pause", "unpause", "health_status", "oom", "update"}


class Supervisor:
    """Starts and stops the collectors, and says what became of each container."""

    def __init__(self, lives: ContainerRegistry, ghosts: RetainedStatusReconciler) -> None:
        self._registry = lives
        self._reconciler = ghosts
        self._workers = Workers(8)
        self._looking = 0  # containers with something in their queue
        self._context: CollectorContext | None = None
        self._listed = False
        self._stopped = False

    def start(self, collecting: CollectorContext) -> None:
        """Begin, or go on with another engine or source: collectors that start from now on use it."""
        if self._context is None:
            self._workers.start()
        self._context = collecting

    def stop(self) -> None:
        """Stop looking, then collecting. Returns at once; nothing is published afterwards."""
        self._workers.stop()
        with self._registry.lock:
            self._stopped = True
            for collector in self.collectors:
                collector.stop()

    def publish_agent_exit(self) -> None:
        """Leave a `stopped` behind for every container that runs on without the agent."""
        with self._registry.lock:
            for life in self._registry.list():
                if life.is_announced_running:
                    life.announce_stopped("agent exit")

    def handle_event(self, event: Event) -> None:
        """Take in an event. Of a container that was not known yet only its beginning counts."""
        if event.action in LOOK and (event.action in BEGIN or self._registry.get(event.id)):
            self._queue(event.id, event)

    def resync(self, rows: Iterable[Mapping[str, Any]], every: bool) -> None:
        """Take in the engine's list: look at the containers that are not as we know them, or at `every` one."""
        states = {str(row.get("Id")): row.get("State") for row in rows}
        with self._registry.lock:
            for life in self._registry.list():
                state = states.pop(life.id, None)
                if state is None:
                    self._queue(life.id, Event.unlisted(life.id, time.time_ns()))
                elif every or (state in ("running", "paused")) != life.is_announced_running:
                    self._queue(life.id, None)
            for container_id in states:
                self._registry.get_or_create(container_id).preexisting = not self._listed
                self._queue(container_id, None)
            self._listed = True
        if every:
            for collector in self.collectors:
                collector.engine_is_back()
        self._workers.put(self._settle_ghosts)

    def add_retained(self, retained: dict[str, bytes]) -> None:
        """Take in what the broker had retained of an earlier run."""
        self._reconciler.add(retained)
        self._workers.put(self._settle_ghosts)

    def request_inspect(self, container_id: str) -> None:
        """Have a container looked at: its readings have stopped, and it may have."""
        if self._registry.get(container_id):
            self._queue(container_id, None)

    def engine_answers(self) -> None:
        """The engine was seen to be there: collectors that wait because it was not need not wait any longer."""
        for collector in self.collectors:
            collector.engine_answers()

    @property
    def collectors(self) -> list[Collector]:
        """The collectors there are now."""
        return [life.collector for life in self._registry.list() if life.collector]

    @property
    def complete(self) -> bool:
        """Whether all containers are known, and every collector that ends by itself has ended."""
        return self._listed and self._workers.idle and all(collector.finished for collector in self.collectors)

    def _queue(self, container_id: str, event: Event | None) -> None:
        with self._registry.lock:
            life = self._registry.get_or_create(container_id, event.name if event else "")
            life.events.append(event)
            if event and event.action in MOVE:
                life.pending_moves += 1
            if not life.busy:
                life.busy = True
                self._looking += 1
                self._workers.put(partial(self._process, life))

    def _process(self, life: TrackedContainer) -> None:
        """Settle the next thing that has happened to a container. Never two workers for one container."""
        event = life.events.popleft()
        try:
            self._reconcile(life, event)
        finally:  # after a defect too: it must not be the last time that anybody looks at the container
            if event and event.action in MOVE:
                self._registry.moved(life)
            with self._registry.lock:
                life.busy = bool(life.events)
                if life.busy:  # before everything else: others may wait for this one to leave its level
                    self._workers.put(partial(self._process, life), AHEAD)
                else:
                    self._looking -= 1
        self._settle_ghosts()

    def _settle_ghosts(self) -> None:
        with self._registry.lock:
            complete = self._listed and not self._looking and not self._stopped
        if complete:
            self._reconciler.reconcile()

    def _reconcile(self, life: TrackedContainer, event: Event | None) -> None:
        """Make what is said of a container, and whether it has a collector, follow what it does."""
        found, exists = self._inspect(life, event)
        action = event.action if event else ""
        with self._registry.lock:
            if self._stopped or self._registry.get(life.id) is not life:
                return  # the engine answered too late, or it was found to be gone before this event's turn came
            before = life.container
            if found is None and before is None and event and action == "start":
                found = container_from_event(event)  # it came and went: all there is to know is what the event said
            if found and before is None and life.preexisting and not found.running:
                life.ended_run_started_at = found.started_at
            if found and not self._registry.describe(life, found):
                self._end(life, "excluded")
                self._registry.exclude(life)
            elif event and action in ("die", "died"):
                self._died(life, before, event, found)
            elif found and life.is_announced_running and not _same_run(life, found):
                # Its `die` was missed; and where it runs again, so was how it ended.
                self._end(life, "exited", before and before.ended(None, None) if found.running else found)
            if not exists and action in END:
                # `docker rm --force` may tell of the removal before it tells of the end.
                self._end(life, "exited", life.container and life.container.ended(None, None))
                self._end(life, "removed")
                self._registry.remove(life)
            elif life.level is not None:
                self._go_on(life, found, action)

    def _inspect(self, life: TrackedContainer, event: Event | None) -> tuple[Container | None, bool]:
        """What the engine says of it now, and False only if it says that there is no such container."""
        assert self._context  # noqa: S101  # workers start with it
        try:
            found = parse_inspect_of(self._context.engine.inspect(life.id), life.id)
        except NoSuchContainerError:
            return None, False
        except (EngineError, ValueError) as error:
            self._look_later(life, event, error)
            return None, True
        life.failures = 0
        return found, True

    def _look_later(self, life: TrackedContainer, event: Event | None, error: Exception) -> None:
        assert self._context  # noqa: S101  # workers start with it
        if isinstance(error, ValueError):  # the others are counted where they arise
            self._context.engine.count_error()
        wait = min(AGAIN * 2.0**life.failures, SELDOM)
        log.debug("%s could not be looked at: %s; next try in %.0f s at the latest", life.name, error, wait)
        if not life.retry_scheduled:
            life.failures = min(life.failures + 1, 10)
            self._context.engine.count_retry()
        self._look_in(life, wait)
        if event and event.action in END:
            life.retry_event = event  # a removal must be told, and no list speaks of it again

    def _look_in(self, life: TrackedContainer, seconds: float) -> None:
        if not life.retry_scheduled:
            life.retry_scheduled, life.retry_event = True, None
            self._workers.put(partial(self._look_again, life), seconds)

    def _look_again(self, life: TrackedContainer) -> None:
        life.retry_scheduled = False
        if self._registry.get(life.id) is life:
            self._queue(life.id, life.retry_event)

    def _go_on(self, life: TrackedContainer, found: Container | None, action: str) -> None:
        if found and found.running and life.collector is None:
            self._begin(life, found)
        elif action == "start" and life.container and not life.is_known_run(life.container):
            # It ran, and has ended already: its `die` is on the way and finds a `running` to end.
            life.announce_running(
                replace(life.container, running=True, state="running", exit_code=None, finished_at=None)
            )
        else:
            life.refresh()

    def _begin(self, life: TrackedContainer, container: Container) -> None:
        assert self._context  # noqa: S101  # workers start with it
        life.announce_running(container)
        look = partial(self.request_inspect, life.id)
        collector = Collector(life.name, life.id, self._context, life.publish_usage, look)
        try:
            collector.start()
        except ThreadLimitError as error:
            self._context.warn_once.warn(str(error))
            self._look_in(life, SELDOM)
        else:
            life.collector = collector

    def _died(self, life: TrackedContainer, before: Container | None, event: Event, found: Container | None) -> None:
        if not life.is_announced_running:
            return  # told already
        if _ns(life.last_status and life.last_status.get("started_at")) > event.time and (
            found is None or _same_run(life, found)
        ):
            return  # an old event that was sent once more; where that run is over, the engine's clock was set back
        if found and not found.running and _ns(found.finished_at) >= _ns(found.started_at):
            self._end(life, "exited", found)
        else:
            self._end(life, "exited", before and before.ended(event.exit_code, format_time(event.time)))

    def _end(self, life: TrackedContainer, reason: Reason, container: Container | None = None) -> None:
        if life.collector:
            life.collector.stop()
            life.collector = None
        if life.last_status and (life.is_announced_running or reason == "removed"):
            life.announce_stopped(reason, container)


def _same_run(life: TrackedContainer, found: Container) -> bool:
    return found.running and life.is_known_run(found)


def _ns(moment: str | None) -> int:
    return parse_time(moment) if moment else 0
