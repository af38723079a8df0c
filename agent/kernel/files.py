"""The kernel's files: opened once, then read again from their beginning as often as needed.

To open, read and close a file costs six times what reading alone does.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from agent.metrics.reading import ContainerNotRunningError, ReadingError
from agent.runtime.limits import DescriptorBudget

# Most files have less than half a page, and one call returns them whole; a larger buffer costs more than a second call.
# Of a longer file a call may return a part: of a list of records as many as fit into a page.
PAGE_BYTES = 4096

_RAISE_LIMIT = "; raise the limit (LimitNOFILE= in the unit, ulimit -n in a shell): a container needs a dozen"

# Where the process file system may be mounted. The first that exists is used: that of an agent in a container.
PROC_DIRECTORIES = ("/host/proc", "/proc")

# Errors of reading a file whose cgroup or process is gone.
_GONE = (errno.ENODEV, errno.ESRCH)


class KernelUnreadableError(ReadingError):
    """The kernel's files cannot be used. The message names the file and the remedy.

    This says nothing about the container.
    """


@contextmanager
def translate_parse_errors(what: str) -> Iterator[None]:
    """Raise KernelUnreadableError if the block fails to parse a file; its message names the file or files, `what`."""
    try:
        yield
    except ReadingError:
        raise
    except (ValueError, KeyError, IndexError) as error:
        raise KernelUnreadableError(f"{what} cannot be understood: {error!r}") from error


def first_directory(*paths: str) -> str:
    """Return the first of these paths that is a directory, else the last one."""
    return next((path for path in paths if os.path.isdir(path)), paths[-1])  # noqa: PTH112


class KernelFile:
    """A cgroup or /proc file, opened once. Each `read()` returns its present content."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> bytes:
        """Return the present content.

        Raises:
            ContainerNotRunningError: the cgroup or the process is gone.
            KernelUnreadableError: the file cannot be read.
        """
        try:
            content = os.pread(self._fd, PAGE_BYTES, 0)
            if len(content) > PAGE_BYTES // 2:
                while more := os.pread(self._fd, PAGE_BYTES, len(content)):
                    content += more
        except OSError as error:
            if error.errno in _GONE:
                raise ContainerNotRunningError(f"{self.path} is gone: the container does not run") from error
            raise KernelUnreadableError(f"{self.path} cannot be read: {error.strerror}") from error
        return content

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class KernelFiles:
    """A set of open files, closed together.

    Half of `descriptors` is left free for streams: a stream needs one descriptor, the files of a container a dozen.
    """

    def __init__(self, descriptors: DescriptorBudget) -> None:
        self._descriptors = descriptors
        self._open: list[KernelFile] = []

    def open_if_present(self, path: str) -> KernelFile | None:
        """Open a file that not every kernel has; return None if it does not exist.

        Raises:
            KernelUnreadableError: the file exists but cannot be opened, or too few descriptors are left.
        """
        if not self._descriptors.acquire(spare=self._descriptors.limit // 2):
            raise KernelUnreadableError(
                f"{path} is not opened: of {self._descriptors.limit} descriptors few are left{_RAISE_LIMIT}"
            )
        try:
            file = KernelFile(path)
        except OSError as error:
            self._descriptors.release()
            if isinstance(error, FileNotFoundError):
                return None
            raise KernelUnreadableError(f"{path} cannot be opened: {error.strerror}{_remedy(error)}") from error
        self._open.append(file)
        return file

    def open(self, path: str) -> KernelFile:
        """Open a file that every kernel has. Raises KernelUnreadableError if it cannot be opened or does not exist."""
        if file := self.open_if_present(path):
            return file
        raise KernelUnreadableError(f"{path} is not there")

    def read_once(self, path: str) -> bytes | None:
        """Return the content of a file that need not stay open, None if it does not exist. Raises as `open` does."""
        if (file := self.open_if_present(path)) is None:
            return None
        try:
            return file.read()
        finally:
            self._open.remove(file)
            file.close()
            self._descriptors.release()

    def close(self) -> None:
        """Close all files of the set."""
        while self._open:
            self._open.pop().close()
            self._descriptors.release()


def _remedy(error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return _RAISE_LIMIT
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            "; let the agent's user read it: a sandbox or a security module forbids it "
            "(SELinux, in a container: --security-opt label=disable)"
        )
    return ""


def read_number(file: KernelFile | None) -> int | None:
    """Return the number in a file with a single value; None if there is no file, and for "max" (no limit)."""
    if file is None:
        return None
    content = file.read()
    return None if content.startswith(b"max") else int(content)


def read_flat_keyed(file: KernelFile | None, *keys: bytes) -> dict[bytes, int]:
    """Return the numbers of these keys in a "flat keyed" file (cgroup-v2.rst, "Format"): lines of a key and a number.

    Keys that are missing are left out; the result is empty if `file` is None. Raises as `KernelFile.read` does.
    """
    if file is None:
        return {}
    words = file.read().split()
    numbers = dict(zip(words[::2], words[1::2], strict=True))
    return {key: int(numbers[key]) for key in keys if key in numbers}
