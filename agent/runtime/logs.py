"""Logging to standard error: for people, for the journal, or for machines.

text     `2026-11-24T20:40:00Z info  supervisor: message`
journal  `<6>supervisor: message`; the journal keeps the time itself (sd-daemon(3) has the numbers)
json     `{"time": …, "level": …, "logger": …, "message": …, "exception": …}`

Whatever a container, an engine or a broker is called or answers, one message is one line: nobody can forge another.
"""

import json
import logging
import os
import threading
import time

from agent.runtime.text import escape

log = logging.getLogger(__name__)


class WarnOnce:
    """Warns of each thing once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def warn(self, text: str) -> None:
        """Say it, if it was not said before."""
        with self._lock:
            news = text not in self._said
            self._said.add(text)
        if news:
            log.warning("%s", text)


_NOISY = ("docker", "paho", "paramiko", "requests", "urllib3")

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

# The journal cuts lines at 48 KiB (LineMax=) and reads a priority at the start of the rest: a way to forge a line.
# A character is up to 4 bytes.
_LONGEST = 10_000


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Our own handler, so that a second setup() replaces it and nobody else's."""


class TextFormatter(logging.Formatter):
    """Lines for people; the lines of an exception follow, indented by two spaces."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and one for each line of an exception."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return "\n".join([f"{moment} {record.levelname.lower():<5} {_message(record)}", *_exception(record)])


class JournalFormatter(logging.Formatter):
    """Lines for the journal, each with its priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and one for each line of an exception."""
        priority = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(priority + line for line in [_message(record), *_exception(record)])


class JsonFormatter(logging.Formatter):
    """One object a line, in ASCII: what could do harm is a JSON escape, and nothing is lost."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": _name(record),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def configure_logging(level: str, format: str) -> None:  # noqa: A002 - the name of the key it is the value of
    """Log to standard error as `agent.log_level` and `agent.log_format` have it; may be called again."""
    handler = _StandardError()
    handler.setFormatter(_formatter(format))
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, _StandardError)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _NOISY:  # they tell every request and every packet
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def is_journal_stream(journal_stream: str, descriptor: int) -> bool:
    """Return whether `descriptor` is the stream to the journal that systemd names in $JOURNAL_STREAM ("device:inode").

    The variable alone says nothing: it is inherited by whoever redirects its output elsewhere.
    """
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


def _formatter(format: str) -> logging.Formatter:  # noqa: A002 - likewise
    if format == "json":
        return JsonFormatter()
    if format == "auto" and is_journal_stream(os.environ.get("JOURNAL_STREAM", ""), 2):
        return JournalFormatter()
    return TextFormatter()


def _name(record: logging.LogRecord) -> str:
    # Of our own the module: which package it lies in tells people nothing.
    return record.name.rpartition(".")[2] if record.name.startswith("agent.") else record.name


def _message(record: logging.LogRecord) -> str:
    return _line(f"{_name(record)}: {record.getMessage()}")


def _exception(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [f"  {_line(line)}" for line in logging.Formatter().formatException(record.exc_info).split("\n")]


def _line(text: str) -> str:
    line = escape(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}… ({len(line)} characters)"
