"""One tracked container: its published status, and its collector while it runs."""

from collections.abc import Callable
from dataclasses import replace

from agent.collection.collector import Collector
from agent.collection.context import CollectorContext
from agent.containers.container import Container
from agent.containers.status import ContainerStatusPublisher, Reason
from agent.engine.protocol import Event
from agent.kernel.run import ContainerRun
from agent.runtime.timestamps import format_time, parse_time

NO_RUN = ""
"""Stands for "no run" where the start of a run is expected. None stands for a run whose start is not known."""

MAX_EVENT_DELAY_NS = 1_000_000_000
"""An engine emits the `die` event within milliseconds of the end that an inspection tells; more if it is busy."""


class TrackedContainer:
    """A container that the engine knows.

    Every method is called, and `collector` read, with the registry's lock held; `id` and `status` never change. Only
    the methods of this class write its fields.

    Attributes:
        id: 64 hexadecimal digits.
        status: its topic level, and what was published there.
        collector: collects its usages; None while the container does not run.
        failed_inspects: inspections that failed in a row. Written by the one worker that processes this container.
    """

    __slots__ = (
        "_earlier_run_started_at",
        "_last_kernel_run",
        "_preexisting",
        "_reported_labels",
        "collector",
        "failed_inspects",
        "id",
        "status",
    )

    def __init__(self, container_id: str, status: ContainerStatusPublisher, preexisting: bool) -> None:
        self.id = container_id
        self.status = status
        self.collector: Collector | None = None
        self.failed_inspects = 0
        self._last_kernel_run: ContainerRun | None = None  # `kernel_run` of the last collector, until there is another
        self._preexisting = preexisting  # the container was in the first list that the engine gave to this agent
        # `started_at` of the run that had already ended when the agent started; the engine may repeat its events.
        self._earlier_run_started_at: str | None = NO_RUN
        self._reported_labels: frozenset[str] = frozenset()  # labels whose mistake was reported

    @property
    def runs(self) -> bool:
        """Whether the container runs, as far as the agent knows: by its status if it has a topic level.

        Without one nothing is published of it, and what the engine describes counts.
        """
        if self.status.level is not None:
            return self.status.is_announced_running
        return self.status.container is not None and self.status.container.running

    @property
    def kernel_run(self) -> ContainerRun | None:
        """The run whose usages were collected last, as the kernel knows it; None if its files were not read.

        Also read by the worker that processes this container, without the lock: no other thread changes it.
        """
        return self.collector.kernel_run if self.collector else self._last_kernel_run

    def note_first_inspection(self, found: Container) -> None:
        """Remember the run that had ended before the agent started, if any. No `running` is published for that run."""
        if self._preexisting and not found.running:
            self._earlier_run_started_at = found.started_at

    def take_label_mistakes(self, found: Container) -> list[str]:
        """Return what is wrong with the container's labels, each label once: they never change."""
        mistakes = found.agent_labels.mistakes
        new = mistakes.keys() - self._reported_labels
        if new:
            self._reported_labels = self._reported_labels.union(new)
        return [mistakes[label] for label in sorted(new)]

    def is_known_run(self, container: Container) -> bool:
        """Return whether the container's last run was published before, or had ended before the agent started."""
        last_status = self.status.last_status
        known = self._earlier_run_started_at if last_status is None else last_status.get("started_at")
        return known == container.started_at

    def is_same_run(self, found: Container) -> bool:
        """Return whether the container runs, and still is in the run that was published last.

        If only the engine's list described the published run, its start is not known. It then counts as the same run.
        """
        last_status = self.status.last_status
        is_start_unknown = last_status is not None and "started_at" not in last_status
        return found.running and (is_start_unknown or self.is_known_run(found))

    def begin(self, container: Container, context: CollectorContext, request_inspect: Callable[[], None]) -> None:
        """Publish that the container runs, and start its collector.

        Raises:
            ThreadLimitError: the system allows no thread for the collector; the status is published.
        """
        self.status.announce_running(container)
        interval = container.agent_labels.interval
        collector = Collector(self.status.name, self.id, context, self.status.publish_usage, request_inspect, interval)
        self._last_kernel_run = None
        collector.start()
        self.collector = collector
        self.status.set_trouble(None)  # the trouble may have been that there was no thread for the collector
        self.status.refresh()

    def update_trouble(self) -> None:
        """Record why the container has no usages, if it is silent. Call this when the engine says that it runs."""
        if self.collector:
            self.status.set_trouble(self.collector.check_silence())

    def announce_unseen_run(self) -> None:
        """Publish `running` for a run that was over before the inspection, so that its `die` event can end it."""
        if container := self.status.container:
            self.status.announce_running(
                replace(container, running=True, state="running", exit_code=None, finished_at=None)
            )

    def announce_earlier_end(self) -> None:
        """Publish `stopped` if the container had ended before the agent started, and has no status yet.

        Nothing is published of a container that has never run.
        """
        container = self.status.container
        if container and not container.running and container.started_at and self.status.last_status is None:
            self.status.announce_unseen_end()

    def end(self, reason: Reason, container: Container | None = None) -> None:
        """Stop the collector, and publish that the container has stopped if that was not published yet.

        For the reasons `removed` and `excluded`, `stopped` is published again even if it was published before.

        Args:
            reason: why.
            container: the container as it ended; None for the newest description.
        """
        if self.collector:
            self.collector.stop()
            self._last_kernel_run, self.collector = self.collector.kernel_run, None
        self.status.set_trouble(None)
        if self.status.last_status and (self.status.is_announced_running or reason in ("removed", "excluded")):
            self.status.announce_stopped(reason, container)

    def handle_missed_die(self, before: Container | None, found: Container) -> None:
        """End the published run without a `die` event, because the event was missed.

        Args:
            before: the container as it was known before; None if it was not.
            found: the container as it is now. If it is in a new run, it is not known how the earlier one ended.
        """
        if found.running:
            self.end("exited", before and before.ended(None, None))
        else:
            self.end("exited" if found.state else "gone", found)

    def handle_die(self, event: Event, before: Container | None, found: Container | None) -> None:
        """End the published run because of a `die` event, unless the event is about an earlier run.

        Args:
            event: has the exit code.
            before: the container as it was known before the event; None if it was not.
            found: the container as the engine describes it now; None if it does not.
        """
        last_status = self.status.last_status
        if not self.status.is_announced_running:
            if found is None or not found.running:
                self.end("exited")  # stops the collector of a container without a level; nothing is published
            return  # the end was published before
        if _nanoseconds(last_status and last_status.get("started_at")) > event.time and (
            found is None or self.is_same_run(found)
        ):
            return  # an old event once more. If the published run is over, the engine's clock was set back instead
        if found and _is_end_of_event(found, event):
            self.end("exited", found)
        else:  # the container runs again, is gone, or cannot be inspected: only the event tells how this run ended
            self.end("exited", before and before.ended(event.exit_code, format_time(event.time)))


def _is_end_of_event(found: Container, event: Event) -> bool:
    """Return whether a description tells the end that a `die` event is about, and not that of an earlier run.

    Usually the end comes after the start. If the engine's clock was set back meanwhile it does not, but it comes just
    before the event, which has its time from the same clock.
    """
    if found.running or found.finished_at is None:
        return False
    finished = _nanoseconds(found.finished_at)
    return finished >= _nanoseconds(found.started_at) or abs(event.time - finished) < MAX_EVENT_DELAY_NS


def _nanoseconds(time_text: str | None) -> int:
    return parse_time(time_text) if time_text else 0
