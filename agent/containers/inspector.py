"""Finding out what one container is and does now.

The engine is asked about the container. If that fails, its list of containers is used. While the engine is away, the
kernel is asked whether the container has processes.
"""

import logging
from dataclasses import replace

from agent.collection.context import CollectorContext
from agent.containers.container import Container, parse_inspect_of, update_from_row
from agent.containers.tracked import TrackedContainer
from agent.containers.work_queue import DIE_ACTIONS, REMOVE_ACTIONS, WorkQueue
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError, EngineUnreachableError, NoSuchContainerError
from agent.engine.protocol import Event

log = logging.getLogger(__name__)

OUTDATED_SECONDS = 1.0  # until an engine whose answer was outdated is asked again

FAILURES_BEFORE_LIST = 2  # in a row: after one failure the retry may succeed, and tells more than the list


class ContainerInspector:
    """Inspects containers, and schedules a retry if that fails. For the workers."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue

    def inspect(
        self, context: CollectorContext, tracked: TrackedContainer, event: Event | None
    ) -> tuple[Container | None, bool]:
        """Return the container as the engine describes it, and whether it exists.

        If the inspection fails a retry is scheduled, and from the second failure in a row on the engine's list is used.
        If the engine as a whole cannot be reached, the kernel is asked instead.

        Args:
            context: has the engine to ask.
            tracked: the container.
            event: the event that made this necessary; None if there was none. A removal is kept for the retry.

        Returns:
            The description, None if there is none; and whether the container exists, False only if the engine
            says that it does not.
        """
        engine = context.engine
        try:
            found = parse_inspect_of(engine.inspect(tracked.id), tracked.id)
        except NoSuchContainerError:
            return None, False
        except (EngineError, ValueError) as error:
            self._retry(engine, tracked, event, error)
            if isinstance(error, EngineUnreachableError) and not context.engine_answers():
                return _change_by_kernel(tracked), True
            listed = self._find_in_list(engine, tracked, error)
            if listed and listed.running and event and event.action in DIE_ACTIONS:
                listed = replace(listed, started_at=None, restart_count=None)  # both are of the run before
            return listed, True
        self._queue.reset_backoff(tracked.id)
        if tracked.failed_inspects >= FAILURES_BEFORE_LIST:
            log.info("%s can be inspected again", tracked.status.name)
        tracked.failed_inspects = 0
        if _is_outdated(tracked, found):
            self._queue.inspect_later(tracked.id, OUTDATED_SECONDS)
            return None, True
        return found, True

    def _retry(self, engine: EngineClient, tracked: TrackedContainer, event: Event | None, error: Exception) -> None:
        if isinstance(error, ValueError):  # an EngineError was counted where it arose
            engine.count_error()
        # Keep a removal's event for the retry: without it the container would never be removed.
        removal = event if event and event.action in REMOVE_ACTIONS else None
        seconds = self._queue.retry(tracked.id, removal)
        if seconds is None:
            log.debug("%s could not be inspected: %s; a retry is scheduled already", tracked.status.name, error)
        else:
            engine.count_retry()
            log.debug("%s could not be inspected: %s; next try in %.0f s", tracked.status.name, error, seconds)

    def _find_in_list(self, engine: EngineClient, tracked: TrackedContainer, error: Exception) -> Container | None:
        """Return the container by its row in the engine's list, from the second failure on; None if there is no row."""
        tracked.failed_inspects += 1
        if tracked.failed_inspects < FAILURES_BEFORE_LIST:
            return None
        try:
            rows = engine.list_containers(tracked.id)
        except EngineError:
            tracked.failed_inspects -= 1  # the engine fails, not this container: the watcher reports that
            return None
        row = next((row for row in rows if row["Id"] == tracked.id), None)
        try:
            found = update_from_row(tracked.status.container, row) if row else None
        except ValueError:
            engine.count_error()
            return None
        if found is None:
            return None
        if tracked.failed_inspects == FAILURES_BEFORE_LIST:
            log.warning("%s cannot be inspected: %s; its status is that of the engine's list", found.name, error)
        return found


def _is_outdated(tracked: TrackedContainer, found: Container) -> bool:
    """Return whether the engine describes a run as going on which has ended, as the kernel shows.

    An engine that was frozen answers with what it knew before it notices what happened meanwhile.
    """
    known, run = tracked.status.container, tracked.kernel_run
    ended_unseen = known is not None and not known.running and not known.state
    if known is None or not ended_unseen or not found.running or found.started_at != known.started_at:
        return False
    return run is not None and run.has_processes() is False


def _change_by_kernel(tracked: TrackedContainer) -> Container | None:
    """Return the container as ended, or as running again, if the kernel shows that; None if nothing has changed."""
    known, run = tracked.status.container, tracked.kernel_run
    has_processes = run.has_processes() if run else None
    if known is None or has_processes is None or has_processes == known.running:
        return None
    if not has_processes:
        log.info("%s has ended: the kernel has none of its processes, and the engine cannot be asked", known.name)
        return known.ended_unseen()
    # An end that an engine has reported is not doubted.
    return None if known.state else known.begun_unseen()
