"""The kernel's files: opened once, and read anew from their beginning as often as one likes.

Opening, reading and closing costs six times what reading alone does.
"""

import errno
import os

from agent.metrics.reading import ContainerNotRunningError, ReadingError
from agent.runtime.limits import DescriptorBudget

# Most say less than half a page, all at once: one call, and no larger buffer, which costs more than a second call. What
# is longer may come in pieces, since of a list of records the kernel hands over as many as fit into a page.
PAGE_BYTES = 4096  # bytes

_MORE = "; raise the limit (LimitNOFILE= in the unit, ulimit -n in a shell): a container needs a dozen"

# What reading a file says whose cgroup or process is gone.
_ENDED = (errno.ENODEV, errno.ESRCH)


class KernelUnreadableError(ReadingError):
    """The kernel's files cannot be used; the message names file and remedy. It says nothing about the container."""


class KernelFile:
    """One of them."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> bytes:
        """Return what it says now. Raises ContainerNotRunningError, and KernelUnreadableError."""
        try:
            content = os.pread(self._fd, PAGE_BYTES, 0)
            if len(content) > PAGE_BYTES // 2:
                while more := os.pread(self._fd, PAGE_BYTES, len(content)):
                    content += more
        except OSError as error:
            if error.errno in _ENDED:
                raise ContainerNotRunningError(f"{self.path} is gone: the container does not run") from error
            raise KernelUnreadableError(f"{self.path} cannot be read: {error.strerror}") from error
        return content

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


class KernelFiles:
    """Opens files, and closes all of them together.

    They leave half of the `descriptors` to others: a stream needs one where they need a dozen.
    """

    def __init__(self, descriptors: DescriptorBudget) -> None:
        self._descriptors = descriptors
        self._open: list[KernelFile] = []

    def find(self, path: str) -> KernelFile | None:
        """Open a file that not every kernel has. Raises KernelUnreadableError if it cannot be opened."""
        if not self._descriptors.acquire(spare=self._descriptors.limit // 2):
            raise KernelUnreadableError(
                f"{path} is not opened: of {self._descriptors.limit} descriptors few are left{_MORE}"
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
        """Open a file that has to be there. Raises KernelUnreadableError."""
        if found := self.find(path):
            return found
        raise KernelUnreadableError(f"{path} is not there")

    def close(self) -> None:
        """Close them."""
        while self._open:
            self._open.pop().close()
            self._descriptors.release()


def _remedy(error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return _MORE
    if error.errno in (errno.EACCES, errno.EPERM):
        return "; let the agent's user read it (a sandbox or a security module forbids it)"
    return ""


def read_number(file: KernelFile | None) -> int | None:
    """Return the one number of a file; None where there is no such file, and for "max"."""
    if file is None:
        return None
    content = file.read()
    return None if content.startswith(b"max") else int(content)


def read_table(file: KernelFile | None, *wanted: bytes) -> dict[bytes, int]:
    """Return the numbers that stand behind these words, as far as they are there; none where there is no such file."""
    if file is None:
        return {}
    words = file.read().split()
    numbers = dict(zip(words[::2], words[1::2], strict=True))
    return {word: int(numbers[word]) for word in wanted if word in numbers}
