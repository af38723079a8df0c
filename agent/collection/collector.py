"""One container, from readings to usages. Start reading here.

A collector reads until it is stopped: in a thread of its own while it has to wait for the engine, and in the rounds,
which one thread makes for all, where it has not. What goes wrong on the way is told apart by one question: does it say
something about the container? Nomad's collector took the end of a stream for the end of the container; here a collector
never ends by itself, it asks for the container to be looked at and tries again later.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from agent.collection.source import Paced, Readings, Source
from agent.config import BackoffSettings
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError, EngineUnreachableError, NoSuchContainerError
from agent.messages.payloads import Measurements
from agent.metrics.rates import compute_usage
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.limits import DescriptorLimitError, LimitError, ThreadLimitError, start_thread
from agent.runtime.logs import WarnOnce
from agent.runtime.retry import Backoff, retrying
from agent.runtime.rounds import Rounds
from agent.runtime.watchdog import MARGIN_SECONDS, Watchdog

log = logging.getLogger(__name__)

NO_MEMORY = "memory is not measured: boot the host with cgroup_enable=memory cgroup_memory=1"


class ReadingsEndedError(EngineError):
    """The engine ended the readings without an error, as it does for a removed container and when it shuts down."""


@dataclass(frozen=True, slots=True)
class CollectorContext:
    """What all collectors of the agent have in common; `limit` ends each after so many usages (None: never)."""

    engine: EngineClient
    source: Source
    interval: float
    timeout: float
    backoff: BackoffSettings
    core_mhz: float | None
    watchdog: Watchdog
    rounds: Rounds
    usage_limit: int | None
    warn_once: WarnOnce


class Collector:
    """Collects one container's usages and hands each to `publish`; calls `look` when the container may have ended."""

    def __init__(
        self,
        name: str,
        container_id: str,
        common: CollectorContext,
        publish: Callable[[Measurements], None],
        look: Callable[[], None],
    ) -> None:
        self._name = name
        self._container_id = container_id
        self._common = common
        self._publish = publish
        self._look = look
        self._cancel = CancelToken()
        self._taking = threading.Lock()  # a reading; nobody else uses or changes what the rounds use
        self._readings: Readings | None = None
        self._paced: Paced | None = None  # in the rounds; else there is a thread
        self._last: Reading | None = None  # outlives an error: the first usage after it covers the time in between
        self._usages = self._without_memory = 0
        self._backoff = Backoff(common.backoff.base, common.backoff.factor, common.backoff.cap)
        self._waiting_for: str | None = None
        self._warned = False

    def start(self) -> None:
        """Begin to collect. Raises ThreadLimitError."""
        self._thread = threading.Thread(target=self._run, name=f"collector-{self._container_id[:12]}", daemon=True)
        start_thread(self._thread)

    def stop(self) -> None:
        """End. After this returns nothing more is published, though the thread may take a moment to leave."""
        with self._taking:
            self._cancel.set()
            if self._paced:
                self._common.rounds.remove(self._turn)
                self._paced = None
                self._close()

    @property
    def finished(self) -> bool:
        """Whether nothing more will come: stopped, or its limit reached."""
        with self._taking:
            return self._paced is None and not self._thread.is_alive()

    def engine_answers(self) -> None:
        """The engine was seen to be there: one who waits because it could not be reached may try again now."""
        if self._waiting_for == EngineUnreachableError.__name__:
            self._cancel.wake()

    def engine_is_back(self) -> None:
        """The engine was away, and answers: whatever it said meanwhile, what one waits for may be there now."""
        self._cancel.wake()

    def _run(self) -> None:
        try:
            retrying(self._backoff, self._cancel, (EngineError, ReadingError, LimitError), self._on_wait)(self._collect)
        except CancelledError:
            self._close()
        except Exception:  # the edge of the thread: a defect must be seen, and must not look like a quiet container
            log.exception("collector of %s ended by a defect of the agent", self._name)
        finally:
            self._common.watchdog.clear(self._thread.name)

    def _collect(self) -> None:
        """Take the readings that have to be waited for; go on in the rounds with those that have not."""
        common = self._common
        within = common.interval + 2 * common.timeout + MARGIN_SECONDS
        if self._readings is None:
            self._readings = common.source.readings(self._container_id, common.interval, self._cancel)
        with ExitStack() as stack:
            stack.callback(self._close)
            common.watchdog.expect_within(self._thread.name, within)
            for reading in self._readings:
                if isinstance(reading, Paced):
                    self._go_round(reading)
                    stack.pop_all()
                    return
                common.watchdog.expect_within(self._thread.name, within)
                with self._taking:
                    self._take(reading)
        if not self._cancel.is_set():
            raise ReadingsEndedError("the engine ended the readings")

    def _go_round(self, paced: Paced) -> None:
        with self._taking:
            if self._cancel.is_set():
                self._close()
            else:
                self._common.rounds.add(self._turn, paced.grid.begin)  # at once where that has passed
                self._paced = paced

    def _turn(self) -> None:
        """Take the reading that is due. Where there is a failure instead a thread goes on."""
        with self._taking:
            if self._paced is None:
                return
            if reading := self._paced.read():
                self._take(reading)
            ends = reading is None or self._cancel.is_set()
            if not (ends and self._leave_rounds()):
                self._common.rounds.add(self._turn, self._paced.grid.next_after(time.monotonic()))

    def _leave_rounds(self) -> bool:
        """Go on in a thread; False where there can be none now, and the next turn is to see."""
        try:
            self.start()
        except ThreadLimitError as error:
            self._common.warn_once.warn(str(error))
            return False
        self._paced = None
        return True

    def _close(self) -> None:
        """End the readings, which closes what they are read from."""
        if self._readings:
            self._readings.close()
            self._readings = None

    def _take(self, reading: Reading) -> None:
        common = self._common
        previous, self._last = self._last, reading
        measurements = compute_usage(previous, reading, common.core_mhz)
        if self._cancel.is_set() or measurements is None:
            return
        self._recovered()
        self._without_memory = 0 if "memory" in measurements else self._without_memory + 1
        if self._without_memory == 2:  # one may be of a container that is just ending
            common.warn_once.warn(NO_MEMORY)
        self._publish(measurements)
        self._usages += 1
        if self._usages == common.usage_limit:
            self._cancel.set()

    def _recovered(self) -> None:
        self._backoff.reset()
        if self._waiting_for:
            log.log(logging.INFO if self._warned else logging.DEBUG, "readings of %s are back", self._name)
            self._waiting_for, self._warned = None, False

    def _on_wait(self, error: BaseException, seconds: float) -> None:
        self._common.engine.count_retry()
        self._common.watchdog.expect_within(self._thread.name, seconds + MARGIN_SECONDS)
        reason = type(error).__name__
        if isinstance(error, (ContainerNotRunningError, NoSuchContainerError, ReadingsEndedError)):
            level = logging.DEBUG  # most often it has ended, and the look will tell
            self._look()
        elif isinstance(error, (DescriptorLimitError, ThreadLimitError)):
            level = logging.DEBUG
            self._common.warn_once.warn(str(error))
        elif isinstance(error, EngineUnreachableError):
            level = logging.DEBUG  # the supervisor says it once for all containers
        else:
            level = logging.DEBUG if reason == self._waiting_for else logging.WARNING
        self._waiting_for, self._warned = reason, self._warned or level == logging.WARNING
        log.log(level, "no readings of %s: %s; next try in %.0f s", self._name, error, seconds)
