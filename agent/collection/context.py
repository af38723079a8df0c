"""What all collectors of the agent share."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.collection.source import MAX_OPEN_SECONDS, Source
from agent.engine.client import EngineClient
from agent.runtime.logs import WarnOnce
from agent.runtime.retry import BackoffPolicy
from agent.runtime.scheduler import Scheduler
from agent.runtime.watchdog import MARGIN_SECONDS, Watchdog


@dataclass(slots=True)
class CollectorContext:
    """Parts of the agent, and settings, that every collector uses.

    Attributes:
        engine: for inspecting containers, and for counting retries.
        source: opens the readers.
        interval: seconds between two usages of a container that has no interval of its own. Changed at a reload, with
            the registry's lock held.
        timeout: seconds after which a call to the engine fails.
        backoff: the waits between a failed reading and the next attempt.
        core_mhz: clock rate of one CPU, MHz; None if it is not known.
        watchdog: is told how long each collector's thread may block.
        scheduler: runs the readings of the kernel's files, on one thread for all containers.
        usage_limit: number of usages after which a collector ends; None for no limit.
        warn_once: logs a warning that concerns many containers once.
        engine_answers: returns whether the engine answered when the events thread last asked it.
    """

    engine: EngineClient
    source: Source
    interval: float
    timeout: float
    backoff: BackoffPolicy
    core_mhz: float | None
    watchdog: Watchdog
    scheduler: Scheduler
    usage_limit: int | None
    warn_once: WarnOnce
    engine_answers: Callable[[], bool]

    def expect_reading(self, thread_name: str, interval: float) -> None:
        """Tell the watchdog that a thread opens a reader or reads now, with an interval of so many seconds."""
        within = interval + MAX_OPEN_SECONDS + 2 * self.timeout + MARGIN_SECONDS
        self.watchdog.expect_within(thread_name, within)
