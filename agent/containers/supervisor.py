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

from agent.collection.collector import Collecting, Collector
from agent.containers.container import Container, described, from_event
from agent.containers.reconcile import Ghosts
from agent.containers.registry import Lives
from agent.containers.tracked import Life, Reason
from agent.engine.errors import EngineError, NoSuchContainer
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

    def __init__(self, lives: Lives, ghosts: Ghosts) -> None:
        self._lives = lives
        self._ghosts = ghosts
        self._workers = Workers(8)
        self._looking = 0  # containers with something in their queue
        self._collecting: Collecting | None = None
        self._listed = False
        self._stopped = False

    def start(self, collecting: Collecting) -> None:
        """Begin, or go on with another engine or source: collectors that start from now on use it."""
        if self._collecting is None:
            self._workers.start()
        self._collecting = collecting

    def stop(self) -> None:
        """Stop looking, then collecting. Returns at once; nothing is published afterwards."""
        self._workers.stop()
        with self._lives.lock:
            self._stopped = True
            for collector in self.collectors:
                collector.stop()

    def farewell(self) -> None:
        """Leave a `stopped` behind for every container that runs on without the agent."""
        with self._lives.lock:
            for life in self._lives.all():
                if life.runs:
                    life.stopped("agent exit")

    def happened(self, event: Event) -> None:
        """Take in an event. Of a container that was not known yet only its beginning counts."""
        if event.action in LOOK and (event.action in BEGIN or self._lives.get(event.id)):
            self._queue(event.id, event)

    def listed(self, rows: Iterable[Mapping[str, Any]], every: bool) -> None:
        """Take in the engine's list: look at the containers that are not as we know them, or at `every` one."""
        states = {str(row.get("Id")): row.get("State") for row in rows}
        with self._lives.lock:
            for life in self._lives.all():
                state = states.pop(life.id, None)
                if state is None:
                    self._queue(life.id, Event.unlisted(life.id, time.time_ns()))
                elif every or (state in ("running", "paused")) != life.runs:
                    self._queue(life.id, None)
            for container_id in states:
                self._lives.enter(container_id).inherited = not self._listed
                self._queue(container_id, None)
            self._listed = True
        if every:
            for collector in self.collectors:
                collector.engine_is_back()
        self._workers.put(self._settle_ghosts)

    def retained(self, retained: dict[str, bytes]) -> None:
        """Take in what the broker had retained of an earlier run."""
        self._ghosts.remember(retained)
        self._workers.put(self._settle_ghosts)

    def look(self, container_id: str) -> None:
        """Have a container looked at: its readings have stopped, and it may have."""
        if self._lives.get(container_id):
            self._queue(container_id, None)

    def engine_answers(self) -> None:
        """The engine was seen to be there: collectors that wait because it was not need not wait any longer."""
        for collector in self.collectors:
            collector.engine_answers()

    @property
    def collectors(self) -> list[Collector]:
        """The collectors there are now."""
        return [life.collector for life in self._lives.all() if life.collector]

    @property
    def complete(self) -> bool:
        """Whether all containers are known, and every collector that ends by itself has ended."""
        return self._listed and self._workers.idle and all(collector.finished for collector in self.collectors)

    def _queue(self, container_id: str, event: Event | None) -> None:
        with self._lives.lock:
            life = self._lives.enter(container_id, event.name if event else "")
            life.events.append(event)
            if event and event.action in MOVE:
                life.moves += 1
            if not life.busy:
                life.busy = True
                self._looking += 1
                self._workers.put(partial(self._work_off, life))

    def _work_off(self, life: Life) -> None:
        """Settle the next thing that has happened to a container. Never two workers for one container."""
        event = life.events.popleft()
        try:
            self._settle(life, event)
        finally:  # after a defect too: it must not be the last time that anybody looks at the container
            if event and event.action in MOVE:
                self._lives.moved(life)
            with self._lives.lock:
                life.busy = bool(life.events)
                if life.busy:  # before everything else: others may wait for this one to leave its level
                    self._workers.put(partial(self._work_off, life), AHEAD)
                else:
                    self._looking -= 1
        self._settle_ghosts()

    def _settle_ghosts(self) -> None:
        with self._lives.lock:
            complete = self._listed and not self._looking and not self._stopped
        if complete:
            self._ghosts.settle()

    def _settle(self, life: Life, event: Event | None) -> None:
        """Make what is said of a container, and whether it has a collector, follow what it does."""
        found, exists = self._inspect(life, event)
        action = event.action if event else ""
        with self._lives.lock:
            if self._stopped or self._lives.get(life.id) is not life:
                return  # the engine answered too late, or it was found to be gone before this event's turn came
            before = life.container
            if found is None and before is None and event and action == "start":
                found = from_event(event)  # it came and went: all there is to know is what the event said
            if found and before is None and life.inherited and not found.running:
                life.over = found.started_at
            if found and not self._lives.describe(life, found):
                self._end(life, "excluded")
                self._lives.silence(life)
            elif event and action in ("die", "died"):
                self._died(life, before, event, found)
            elif found and life.runs and not _same_run(life, found):
                # Its `die` was missed; and where it runs again, so was how it ended.
                self._end(life, "exited", before and before.ended(None, None) if found.running else found)
            if not exists and action in END:
                # `docker rm --force` may tell of the removal before it tells of the end.
                self._end(life, "exited", life.container and life.container.ended(None, None))
                self._end(life, "removed")
                self._lives.leave(life)
            elif life.level is not None:
                self._go_on(life, found, action)

    def _inspect(self, life: Life, event: Event | None) -> tuple[Container | None, bool]:
        """What the engine says of it now, and False only if it says that there is no such container."""
        assert self._collecting  # noqa: S101  # workers start with it
        try:
            found = described(self._collecting.engine.inspect(life.id), life.id)
        except NoSuchContainer:
            return None, False
        except (EngineError, ValueError) as error:
            self._look_later(life, event, error)
            return None, True
        life.failures = 0
        return found, True

    def _look_later(self, life: Life, event: Event | None, error: Exception) -> None:
        assert self._collecting  # noqa: S101  # workers start with it
        if isinstance(error, ValueError):  # the others are counted where they arise
            self._collecting.engine.count_error()
        wait = min(AGAIN * 2.0**life.failures, SELDOM)
        log.debug("%s could not be looked at: %s; next try in %.0f s at the latest", life.name, error, wait)
        if not life.due:
            life.failures = min(life.failures + 1, 10)
            self._collecting.engine.count_retry()
        self._look_in(life, wait)
        if event and event.action in END:
            life.repeat = event  # a removal must be told, and no list speaks of it again

    def _look_in(self, life: Life, seconds: float) -> None:
        if not life.due:
            life.due, life.repeat = True, None
            self._workers.put(partial(self._look_again, life), seconds)

    def _look_again(self, life: Life) -> None:
        life.due = False
        if self._lives.get(life.id) is life:
            self._queue(life.id, life.repeat)

    def _go_on(self, life: Life, found: Container | None, action: str) -> None:
        if found and found.running and life.collector is None:
            self._begin(life, found)
        elif action == "start" and life.container and not life.told_of(life.container):
            # It ran, and has ended already: its `die` is on the way and finds a `running` to end.
            life.running(replace(life.container, running=True, state="running", exit_code=None, finished_at=None))
        else:
            life.refresh()

    def _begin(self, life: Life, container: Container) -> None:
        assert self._collecting  # noqa: S101  # workers start with it
        life.running(container)
        look = partial(self.look, life.id)
        collector = Collector(life.name, life.id, self._collecting, life.publish, look)
        try:
            collector.start()
        except ThreadLimitError as error:
            self._collecting.once.warn(str(error))
            self._look_in(life, SELDOM)
        else:
            life.collector = collector

    def _died(self, life: Life, before: Container | None, event: Event, found: Container | None) -> None:
        if not life.runs:
            return  # told already
        if _ns(life.told and life.told.get("started_at")) > event.time and (found is None or _same_run(life, found)):
            return  # an old event that was sent once more; where that run is over, the engine's clock was set back
        if found and not found.running and _ns(found.finished_at) >= _ns(found.started_at):
            self._end(life, "exited", found)
        else:
            self._end(life, "exited", before and before.ended(event.exit_code, format_time(event.time)))

    def _end(self, life: Life, reason: Reason, container: Container | None = None) -> None:
        if life.collector:
            life.collector.stop()
            life.collector = None
        if life.told and (life.runs or reason == "removed"):
            life.stopped(reason, container)


def _same_run(life: Life, found: Container) -> bool:
    return found.running and life.told_of(found)


def _ns(moment: str | None) -> int:
    return parse_time(moment) if moment else 0
