"""Secrets: passwords that must never be shown, in memory and in files."""

import logging
import os
import stat
from functools import cache
from pathlib import Path
from typing import NoReturn

MASK = "********"
MAX_PASSWORD_BYTES = 65535  # MQTT 5, section 1.5.6: binary data has a length of two bytes
MAX_ADDED_BYTES = 5  # what strip_added() removes: a byte order mark of 3 bytes, a newline of 1 or 2

log = logging.getLogger(__name__)


class Secret:
    """A string that is shown as asterisks wherever it is printed. Only `reveal()` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the string itself, for a connection, never for a log."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be serialized")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def read_secret(path: str) -> Secret:
    """Return the password in the file at `path`, without what editors and `echo` add to it (`strip_added`).

    Raises:
        OSError: the file cannot be read.
        ValueError: the file holds no password. The message continues a sentence about the file, such as "is empty".
    """
    with Path(path).open("rb") as file:
        content = file.read(MAX_PASSWORD_BYTES + MAX_ADDED_BYTES + 1)
    if len(content) > MAX_PASSWORD_BYTES + MAX_ADDED_BYTES:
        raise ValueError(f"is longer than {MAX_PASSWORD_BYTES} bytes")
    try:
        password = strip_added(content.decode())
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None
    if not password:
        raise ValueError("is empty")
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise ValueError(f"is longer than {MAX_PASSWORD_BYTES} bytes")
    return Secret(password)


def strip_added(text: str) -> str:
    r"""Return a password without a byte order mark at its start and one newline (`\n` or `\r\n`) at its end."""
    text = text.removeprefix("\ufeff")
    return text.removesuffix("\r\n" if text.endswith("\r\n") else "\n")


def is_absent_credential(path: str) -> bool:
    """Return whether this is a credential of a systemd service that cannot be read from here.

    Such a file exists only while the service runs, and usually only the service can read it.
    """
    return Path(path).is_relative_to("/run/credentials") and not os.access(path, os.R_OK)


@cache
def warn_if_world_readable(path: str) -> None:
    """Log a warning, once for each path, if every user of the machine can read this password file. Raises OSError."""
    # Docker mounts secrets with mode 0444, but in a container in which the agent is the only user.
    in_container = Path(path).resolve().is_relative_to(Path("/run/secrets").resolve())
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    if mode & stat.S_IROTH and not in_container:
        log.warning("%s holds a password that every user can read (mode %04o): chmod 600 it", path, mode)
