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
    """The parts of the agent and the settings that all collectors share.

    Attributes:
        engine: for its counters.
        source: where readings come from.
        interval: seconds between two usages of a container that has no interval of its own. It may change, with the
            registry's lock held.
        timeout: seconds after which a call to the engine fails.
        backoff: waits after failed readings.
        core_mhz: clock rate of one CPU, MHz; None if unknown.
        watchdog: is told how long each collector's thread may block.
        scheduler: reads the kernel's files, which never have to be waited for.
        usage_limit: number of usages after which a collector ends; None for no limit.
        warn_once: for conditions that concern all containers alike.
        engine_answers: returns whether the engine as a whole answers at present.
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
        """Tell the watchdog that a thread is about to open a reader, or to read, with this interval."""
        within = interval + MAX_OPEN_SECONDS + 2 * self.timeout + MARGIN_SECONDS
        self.watchdog.expect_within(thread_name, within)
