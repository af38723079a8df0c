"""What must never be seen: passwords, in memory and in files."""

import logging
import stat
from functools import cache
from pathlib import Path
from typing import NoReturn

MASK = "********"
LONGEST = 65535  # bytes of a password that MQTT can carry

log = logging.getLogger(__name__)


class Secret:
    """A string that shows itself as asterisks wherever it is printed; only `reveal()` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself: for the socket, never for a log."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written out")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def read_secret(path: str) -> Secret:
    """Return what the file at `path` holds, without the newline that editors and `echo` leave at its end.

    Raises OSError when it cannot be read, and ValueError, which says why, when it holds no password.
    """
    with Path(path).open("rb") as file:
        content = file.read(LONGEST + 3)
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    if not content:
        raise ValueError("is empty")
    if len(content) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} bytes")
    try:
        return Secret(content.decode())
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None


@cache
def warn_of_readers(path: str) -> None:
    """Log a warning, once for each path, about a file with a secret that every user of the machine can read."""
    # Docker mounts secrets readable by all (0444), but in a container where the agent is the only one.
    in_container = Path(path).resolve().is_relative_to(Path("/run/secrets").resolve())
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    if mode & stat.S_IROTH and not in_container:
        log.warning("%s holds a password that every user can read (mode %04o): chmod 600 it", path, mode)
