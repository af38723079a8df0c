"""The third source: the kernel's files, once the engine has confirmed what they say of a container.

The engine is asked twice for each run of a container: which process it is, and for one document to compare with. After
that it is not needed any more, and readings go on while it restarts; they are not waited for, and need no thread of
their own (see rounds.py).
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from agent.collection.schedule import Schedule, aligned_schedule, first_aligned_schedule
from agent.collection.source import Paced, Readings
from agent.collection.verification import find_mismatches
from agent.engine import stats
from agent.engine.client import EngineClient
from agent.engine.errors import EngineRefusedError
from agent.kernel.files import KernelUnreadableError
from agent.kernel.reader import ContainerFiles, KernelReader
from agent.metrics.reading import ContainerNotRunningError, Reading, ReadingError
from agent.runtime.cancel import CancelledError, CancelToken

VERIFY_ATTEMPTS = 4  # what goes up and down may be elsewhere when the engine looks; each field has to agree once
MAX_SHARED_NETWORKS = 8  # containers that share the network of another, one after the other


@dataclass(frozen=True, slots=True)
class VerifiedFiles:
    """Files of which the engine says the same, and their first reading; who reads them closes them."""

    files: ContainerFiles
    first: Reading

    def begin(self, interval: float) -> Readings:
        """Yield the first reading, then how to take others. Raises ContainerNotRunningError, KernelUnreadableError."""
        with closing(self.files):
            yield self.first
            yield from self._paced(first_aligned_schedule(self.first.arrived, interval))

    def go_on(self, due: float, interval: float) -> Readings:
        """The same where readings were yielded before, of which the next is due at about that moment."""
        with closing(self.files):
            yield from self._paced(aligned_schedule(due, interval))

    def _paced(self, grid: Schedule) -> Readings:
        paced = Paced(grid, self.files.read)
        yield paced
        if paced.failure:
            raise paced.failure


class KernelSource:
    """Readings from the kernel's files. Raises KernelUnreadableError where there are none, or they differ."""

    name = "kernel"

    def __init__(self, engine: EngineClient, kernel: KernelReader) -> None:
        self._engine = engine
        self._kernel = kernel

    def readings(self, container_id: str, interval: float, cancel: CancelToken) -> Readings:
        """Yield readings as a Source does."""
        try:
            proven = self.verify(container_id, cancel)
        except CancelledError:
            return
        yield from proven.begin(interval)

    def verify(self, container_id: str, cancel: CancelToken) -> VerifiedFiles:
        """Open a container's files and compare them with what the engine says. Raises CancelledError too."""
        files = self._open(container_id)
        try:
            return VerifiedFiles(files, self._confirmed(files, container_id, cancel))
        except BaseException:
            files.close()
            raise

    def _open(self, container_id: str) -> ContainerFiles:
        document = self._engine.inspect(container_id)
        pid = _pid(document)
        if not pid:
            raise ContainerNotRunningError("the engine says that the container does not run")
        try:
            return self._kernel.open(container_id, pid, self._has_host_network(document))
        except KernelUnreadableError as error:
            if _pid(self._engine.inspect(container_id)) != pid:
                raise ContainerNotRunningError("the container ended meanwhile") from error
            raise

    def _confirmed(self, files: ContainerFiles, container_id: str, cancel: CancelToken) -> Reading:
        """Return the first reading after which the engine has confirmed every field once."""
        doubts: dict[str, str] | None = None
        trouble = ""
        for _ in range(VERIFY_ATTEMPTS):
            before = files.read()
            raw = self._engine.stats_once(container_id, cancel)
            after = files.read()
            try:
                told = stats.parse_stats(raw, after.arrived)
            except ContainerNotRunningError:
                raise
            except ReadingError as error:
                self._engine.count_error()
                trouble = str(error)
                continue
            files.count_interfaces(stats.parse_interface_names(raw))
            found = find_mismatches(before, told, after)
            doubts = found if doubts is None else {field: found[field] for field in doubts.keys() & found}
            if not doubts:
                return before
            trouble = min(doubts.values())
        raise KernelUnreadableError(f"the kernel and the engine disagree about the container: {trouble}")

    def _has_host_network(self, document: Mapping[str, Any]) -> bool:
        mode = _network_mode(document)
        for _ in range(MAX_SHARED_NETWORKS):
            shared, _, other = mode.partition(":")
            if shared != "container":
                break
            try:
                mode = _network_mode(self._engine.inspect(other))
            except EngineRefusedError:  # the other one is gone; the network is still there, and the engine will tell
                return False
        return mode == "host"


def _pid(document: Mapping[str, Any]) -> int:
    """Return the container's first process; 0 if it has none."""
    pid = (document.get("State") or {}).get("Pid")
    return pid if type(pid) is int else 0


def _network_mode(document: Mapping[str, Any]) -> str:
    return str((document.get("HostConfig") or {}).get("NetworkMode") or "")
