"""Readings from the kernel's files, once the engine has confirmed what they say about the container.

The engine is asked twice for each run of a container: for its first process, and for one stats document to compare
with. After that the engine is not needed: readings continue while it restarts. They never have to be waited for, so one
scheduler reads the files of all containers.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.collection.schedule import aligned_schedule, first_aligned_schedule
from agent.collection.source import MAX_OPEN_SECONDS
from agent.collection.verification import find_mismatches
from agent.engine import stats
from agent.engine.client import EngineClient
from agent.engine.errors import EngineRefusedError
from agent.kernel.files import KernelUnreadableError
from agent.kernel.reader import ContainerFiles, KernelReader
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.cancel import CancelToken

log = logging.getLogger(__name__)

# A field is verified when it has agreed in one of the attempts: a gauge may change between the three readings of an
# attempt.
VERIFY_ATTEMPTS = 4
MAX_UNMEASURED = 2  # attempts without a CPU time from the engine, after which it counts as unable to measure
MAX_SHARED_NETWORKS = 8  # containers in a row that each use the network of the next one


@dataclass(frozen=True, slots=True)
class InspectedContainer:
    """A running container, as the engine describes it.

    Attributes:
        id: 64 hexadecimal digits.
        name: its name, for the log.
        pid: process id of its first process.
        network_mode: as in `docker run --network`.
        deadline: monotonic moment, seconds. After it no further call to the engine is begun for opening the files.
    """

    id: str
    name: str
    pid: int
    network_mode: str
    deadline: float


class VerifiedFiles:
    """Reads the files of a container, whose first reading the engine has confirmed. Never blocks (`source.Reader`).

    Attributes:
        name: the container's name, for the log.
        kernel_run: shows whether the container's run goes on, also after `close`; None if the kernel does not tell.
        schedule: when to read.
    """

    blocking = False

    def __init__(self, name: str, files: ContainerFiles, first: Reading, interval: float) -> None:
        self.name = name
        self.kernel_run = files.kernel_run
        self._files = files
        self._first: Reading | None = first
        self._interval = interval
        self._read_at: float | None = None  # monotonic moment of the last reading after the first
        self.schedule = first_aligned_schedule(first.arrived, interval)

    def continue_from(self, moment: float) -> None:
        """Take over from another reader at this monotonic moment. The next reading is due about one interval later."""
        self._first = None
        self._read_at = moment
        self.schedule = aligned_schedule(moment + self._interval, self._interval)

    def set_interval(self, interval: float) -> None:
        """Read with another interval from now on; the second reading comes as early as it would have."""
        if interval != self._interval:
            self._interval = interval
            due = self.schedule.begin if self._read_at is None else self._read_at + interval
            self.schedule = aligned_schedule(due, interval)

    def read(self, wait: bool = True) -> Reading:  # noqa: ARG002 - this reader never waits
        """Return the verified first reading, once; after that what the files say now.

        Raises ContainerNotRunningError and KernelUnreadableError.
        """
        if self._first:
            first, self._first = self._first, None
            return first
        reading = self._files.read()
        self._read_at = reading.arrived
        return reading

    def close(self) -> None:
        """Close the files."""
        self._files.close()


class KernelSource:
    """Opens the kernel's files of containers, and has the engine confirm them.

    Args:
        engine: confirms the files.
        kernel: opens the files.
        max_open: seconds after which no further call to the engine is begun while files are opened.
    """

    name = "kernel"
    name_is_settled = True

    def __init__(self, engine: EngineClient, kernel: KernelReader, max_open: float = MAX_OPEN_SECONDS) -> None:
        self._engine = engine
        self._kernel = kernel
        self._max_open = max_open

    def open(self, container_id: str, interval: float, cancel: CancelToken) -> VerifiedFiles:
        """Inspect a container, open its files and compare them with the engine. See `source.Source.open`.

        Raises what `inspect` and `open_inspected` raise.
        """
        return self.open_inspected(self.inspect(container_id), interval, cancel)

    def inspect(self, container_id: str) -> InspectedContainer:
        """Ask the engine for a container's first process.

        Raises:
            ContainerNotRunningError: the container does not run.
            EngineError: as for `EngineClient.inspect`.
        """
        deadline = time.monotonic() + self._max_open
        document = self._engine.inspect(container_id)
        pid = _first_process(document)
        if not pid:
            raise ContainerNotRunningError("the engine says that the container does not run")
        return InspectedContainer(container_id, _name(document), pid, _network_mode(document), deadline)

    def open_inspected(self, container: InspectedContainer, interval: float, cancel: CancelToken) -> VerifiedFiles:
        """Open a container's files and compare them with what the engine says.

        Raises:
            CancelledError: `cancel` was set.
            KernelUnreadableError: there are no files, they and the engine disagree, or the engine is too slow for the
                comparison. The message names the cause.
            ContainerNotRunningError: the container does not run.
            EngineError, LimitError: as for `source.Source.open`.
        """
        files = self._open_files(container)
        try:
            return VerifiedFiles(container.name, files, self._verified_reading(files, container, cancel), interval)
        except BaseException:
            files.close()
            raise

    def _open_files(self, container: InspectedContainer) -> ContainerFiles:
        try:
            return self._kernel.open(container.id, container.pid, self._has_host_network(container))
        except KernelUnreadableError as error:
            _expect_time_left(container, str(error))
            if _first_process(self._engine.inspect(container.id)) != container.pid:
                raise ContainerNotRunningError("the container ended while its files were opened") from error
            raise

    def _verified_reading(self, files: ContainerFiles, container: InspectedContainer, cancel: CancelToken) -> Reading:
        """Compare the files with the engine until every field has agreed once. Return the last attempt's first reading.

        An engine may report nothing but zeros for a container that it calls running, for example after a network
        interface was renamed in the container. Then there is nothing to compare with, and the files are read all the
        same. They are the container's: the cgroup is named after the container, and has processes.
        """
        mismatches: dict[str, str] | None = None  # fields that have not agreed yet
        reason = ""
        unmeasured = 0  # attempts in which the engine reported no CPU time
        for _ in range(VERIFY_ATTEMPTS):
            _expect_time_left(container, reason)
            before = files.read()
            raw = self._engine.stats_once(container.id, cancel)
            after = files.read()
            try:
                reported = stats.parse_stats(raw, after.arrived)
                is_unmeasured = not reported.cpu.is_measured
            except ContainerNotRunningError:
                is_unmeasured = True
            except ReadingError as error:
                self._engine.count_error()
                reason = str(error)
                continue
            if is_unmeasured:
                unmeasured += 1
                if unmeasured == MAX_UNMEASURED:
                    return self._unverified(container, before)
                continue
            files.set_engine_interfaces(stats.parse_interface_names(raw))
            found = find_mismatches(
                before, reported, after, cpu_limited=files.cpu_limited, memory_limited=files.memory_limited
            )
            mismatches = found if mismatches is None else {field: found[field] for field in mismatches.keys() & found}
            if not mismatches:
                return before
            reason = min(mismatches.values())
        raise KernelUnreadableError(f"the kernel and the engine disagree about the container: {reason}")

    def _unverified(self, container: InspectedContainer, reading: Reading) -> Reading:
        """Return a reading that nothing confirms, if the engine still says that the container runs."""
        if _first_process(self._engine.inspect(container.id)) != container.pid:
            raise ContainerNotRunningError("the container ended while its files were opened")
        log.info("the engine measures nothing of %s: the kernel's files are read unverified", container.name)
        return reading

    def _has_host_network(self, container: InspectedContainer) -> bool:
        mode = container.network_mode
        for _ in range(MAX_SHARED_NETWORKS):
            shared, _, other = mode.partition(":")
            if shared != "container":
                break
            _expect_time_left(container)
            try:
                mode = _network_mode(self._engine.inspect(other))
            except EngineRefusedError:  # the other container was removed; the network stays, and will be compared
                return False
        return mode == "host"


def _expect_time_left(container: InspectedContainer, reason: str = "") -> None:
    """Raise KernelUnreadableError if the engine has taken too long already to be asked once more."""
    if time.monotonic() >= container.deadline:
        raise KernelUnreadableError(f"the engine is too slow to verify the container's files{reason and ': '}{reason}")


def _first_process(document: Mapping[str, Any]) -> int:
    """Return the process id of the container's first process, 0 if there is none."""
    pid = _part(document, "State").get("Pid")
    return pid if type(pid) is int else 0


def _network_mode(document: Mapping[str, Any]) -> str:
    return str(_part(document, "HostConfig").get("NetworkMode") or "")


def _name(document: Mapping[str, Any]) -> str:
    return str(document.get("Name") or document.get("Id") or "").removeprefix("/")


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}
