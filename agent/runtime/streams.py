"""The standard streams of a command, made safe to write to."""

import io
import os
import sys
from typing import TextIO


def open_standard_streams() -> None:
    """Open /dev/null in place of standard streams that are closed, and make every character printable.

    A command may be started with closed streams (`>&-`). Python then has None in their place, and the next socket or
    file would get the number of the stream. And where the locale's encoding is not UTF-8, it cannot encode every name:
    such characters are printed escaped, as Python does on standard error anyway.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open_null(descriptor)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Discard what the stream still holds: else the interpreter's last flush would fail and change the exit code."""
    _open_null(stream.fileno())


def _open_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)
