"""What a collector reads from: a `Source` for the whole agent, and one `Reader` for each run of a container.

StreamSource, PollSource (engine_source.py)   readers that wait for the engine
KernelSource (kernel_source.py)               readers of the kernel's files, which never wait
FallbackSource (fallback.py)                  readers of the kernel's files while those work, else of the engine
"""

from typing import Protocol

from agent.collection.schedule import Schedule
from agent.engine.errors import EngineError
from agent.kernel.run import ContainerRun
from agent.metrics.reading import Reading
from agent.runtime.cancel import CancelToken

# Opening a reader may take several calls to the engine. After this time no further one is begun, so that a slow engine
# does not block the thread for all of them.
MAX_OPEN_SECONDS = 10.0


class ReadingsEndedError(EngineError):
    """The engine ended its readings without an error, as it does for a removed container and when it shuts down.

    This says nothing about the container: Nomad's collector took the end of a stream for the end of the container.
    """


class Reader(Protocol):
    """Reads one run of a container: two readings as soon as possible, then one for each interval.

    Used by one thread at a time.
    """

    @property
    def blocking(self) -> bool:
        """Whether the next reading has to be waited for. If not, read it at the moments of `schedule`."""
        ...

    @property
    def schedule(self) -> Schedule:
        """When to read while the reader is not `blocking`."""
        ...

    @property
    def kernel_run(self) -> ContainerRun | None:
        """Shows whether the container's run goes on; None if the kernel's files were not read or do not tell."""
        ...

    def read(self, wait: bool = True) -> Reading | None:
        """Return the next reading.

        Args:
            wait: whether the reader may block until there is a reading.

        Returns:
            The reading; None if there is none at this moment, or `wake` of the CancelToken was called. Then look at
            `blocking` again. If it is true, call this again in a thread that may wait. If not, call this again at the
            next moment of `schedule`.

        Raises:
            CancelledError: the CancelToken that `Source.open` was given is set.
            EngineError: the engine did not give a reading; ReadingsEndedError if it will give no more.
            ReadingError: what was read cannot be used; ContainerNotRunningError if the container does not run.
            LimitError: the system allows no more descriptors.
        """
        ...

    def set_interval(self, interval: float) -> None:
        """Read with another interval from now on, counted from the last reading; nothing changes if it is the same."""
        ...

    def close(self) -> None:
        """Close what is read from. A second call does nothing."""
        ...


class Source(Protocol):
    """Opens readers of any container. Every method may be called from any thread."""

    @property
    def name(self) -> str:
        """The source that is in use, as the configuration names it: kernel, poll or stream."""
        ...

    @property
    def name_is_settled(self) -> bool:
        """Whether `name` is known already. With `auto` it is not before the files of a first container were tried."""
        ...

    def open(self, container_id: str, interval: float, cancel: CancelToken) -> Reader:
        """Return a reader of a running container; close it after use.

        This takes MAX_OPEN_SECONDS at most, and the time of one more call to the engine.

        Args:
            container_id: the container's 64 hexadecimal digits.
            interval: seconds between two readings.
            cancel: ends a blocking `open` or `read` with CancelledError.

        Raises:
            CancelledError, EngineError, ReadingError, LimitError: as for `Reader.read`.
        """
        ...
