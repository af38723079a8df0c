"""One container, from readings to usages. Start reading here.

A collector is a thread that reads until it is stopped. What goes wrong on the way is told apart by one question: does
it say something about the container? Nomad's collector took the end of a stream for the end of the container; here a
collector never ends by itself, it asks for the container to be looked at and tries again later.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from agent.backoff import Backoff, retrying
from agent.cancel import Cancel, Cancelled
from agent.config import BackoffSettings
from agent.descriptors import NoDescriptor
from agent.documents import ContainerNotRunning, NoReading
from agent.engine import Engine, EngineError, EngineUnreachable, NoSuchContainer
from agent.health import Pulse
from agent.once import Once
from agent.payloads import Measurements
from agent.sources import Source
from agent.usage import Reading, usages

log = logging.getLogger(__name__)

NO_MEMORY = "memory is not measured: boot the host with cgroup_enable=memory cgroup_memory=1"
MARGIN = 10.0  # seconds a thread may be late on a loaded machine before it counts as hanging


class ReadingsEnded(EngineError):
    """The engine ended the readings without an error, as it does for a removed container and when it shuts down."""


@dataclass(frozen=True, slots=True)
class Collecting:
    """What all collectors of the agent have in common; `limit` ends each after so many usages (None: never)."""

    engine: Engine
    source: Source
    interval: float
    timeout: float
    backoff: BackoffSettings
    core_mhz: float | None
    pulse: Pulse
    limit: int | None
    once: Once = field(default_factory=Once)


class Collector:
    """Collects one container's usages and hands each to `publish`; calls `look` when the container may have ended."""

    def __init__(
        self,
        name: str,
        container_id: str,
        common: Collecting,
        publish: Callable[[Measurements], None],
        look: Callable[[], None],
    ) -> None:
        self._name = name
        self._container_id = container_id
        self._common = common
        self._publish = publish
        self._look = look
        self._cancel = Cancel()
        self._publishing = threading.Lock()
        self._backoff = Backoff(common.backoff.base, common.backoff.factor, common.backoff.cap)
        self._waiting_for: str | None = None
        self._last: Reading | None = None  # outlives an error: the first usage after it covers the time in between
        self._warned = False
        self._thread = threading.Thread(target=self._run, name=f"collector-{container_id[:12]}", daemon=True)

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def stop(self) -> None:
        """End. After this returns nothing more is published, though the thread may take a moment to leave."""
        with self._publishing:
            self._cancel.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread to leave."""
        self._thread.join(max(timeout, 0))

    @property
    def finished(self) -> bool:
        """Whether the thread has left: stopped, or its limit reached."""
        return not self._thread.is_alive()

    def engine_answers(self) -> None:
        """The engine was seen to be there: one who waits because it could not be reached may try again now."""
        if self._waiting_for == EngineUnreachable.__name__:
            self._cancel.nudge()

    def engine_is_back(self) -> None:
        """The engine was away, and answers: whatever it said meanwhile, what one waits for may be there now."""
        self._cancel.nudge()

    def _run(self) -> None:
        try:
            retrying(self._backoff, self._cancel, (EngineError, NoReading), self._on_wait)(self._collect)
        except Cancelled:
            pass
        except Exception:  # the edge of the thread: a defect must be seen, and must not look like a quiet container
            log.exception("collector of %s ended by a defect of the agent", self._name)
        finally:
            self._common.pulse.done(self._thread.name)

    def _collect(self) -> None:
        common = self._common
        readings = common.source.readings(self._container_id, common.interval, self._cancel)
        without_memory = 0
        for measurements in islice(usages(self._watched(readings), common.core_mhz, self._last), common.limit):
            self._recovered()
            without_memory = 0 if "memory" in measurements else without_memory + 1
            if without_memory == 2:  # one may be of a container that is just ending
                common.once.warn(NO_MEMORY)
            with self._publishing:
                if not self._cancel.is_set():
                    self._publish(measurements)
        if not self._cancel.is_set() and common.limit is None:
            raise ReadingsEnded("the engine ended the readings")

    def _watched(self, readings: Iterator[Reading]) -> Iterator[Reading]:
        within = self._common.interval + 2 * self._common.timeout + MARGIN
        self._common.pulse.promise(self._thread.name, within)
        for reading in readings:
            self._common.pulse.promise(self._thread.name, within)
            self._last = reading
            yield reading

    def _recovered(self) -> None:
        self._backoff.reset()
        if self._waiting_for:
            log.log(logging.INFO if self._warned else logging.DEBUG, "readings of %s are back", self._name)
            self._waiting_for, self._warned = None, False

    def _on_wait(self, error: BaseException, seconds: float) -> None:
        self._common.engine.count_retry()
        self._common.pulse.promise(self._thread.name, seconds + MARGIN)
        reason = type(error).__name__
        if isinstance(error, (ContainerNotRunning, NoSuchContainer, ReadingsEnded)):
            level = logging.DEBUG  # most often it has ended, and the look will tell
            self._look()
        elif isinstance(error, NoDescriptor):
            level = logging.DEBUG
            self._common.once.warn(str(error))
        elif isinstance(error, EngineUnreachable):
            level = logging.DEBUG  # the supervisor says it once for all containers
        else:
            level = logging.DEBUG if reason == self._waiting_for else logging.WARNING
        self._waiting_for, self._warned = reason, self._warned or level == logging.WARNING
        log.log(level, "no readings of %s: %s; next try in %.0f s", self._name, error, seconds)
