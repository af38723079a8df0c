"""Logging to standard error: for people, for the journal, or for machines.

text     `2026-11-24T20:40:00Z info  supervisor: message`
journal  `<6>supervisor: message`; the journal adds the time (sd-daemon(3) defines the numbers)
json     `{"time": …, "level": …, "logger": …, "message": …, "exception": …}`

Names of containers and answers of engines and brokers are logged escaped: one message is always one line, so that no
message can look like two.
"""

import json
import logging
import os
import threading
import time

from agent.runtime.text import escape

log = logging.getLogger(__name__)

_LIBRARIES = ("docker", "paho", "paramiko", "requests", "urllib3")

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

# The journal splits lines at 48 KiB (LineMax=, journald.conf(5)) and looks for a priority at the start of the rest,
# which would let a long message forge a line. A character is up to 4 bytes in UTF-8.
_MAX_LINE_CHARACTERS = 10_000


class WarnOnce:
    """Logs each warning once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_logged`
        self._logged: set[str] = set()

    def warn(self, text: str) -> None:
        """Log a warning, unless the same text was logged before."""
        with self._lock:
            first = text not in self._logged
            self._logged.add(text)
        if first:
            log.warning("%s", text)


class _StandardErrorHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """A class of its own, so that `configure_logging` replaces its own handler and no other."""


class TextFormatter(logging.Formatter):
    """Formats lines for people. The lines of an exception follow, indented by two spaces."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and one for each line of an exception."""
        date_time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return "\n".join([f"{date_time} {record.levelname.lower():<5} {_message(record)}", *_exception(record)])


class JournalFormatter(logging.Formatter):
    """Formats lines for the journal, each with its priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and one for each line of an exception."""
        priority = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(priority + line for line in [_message(record), *_exception(record)])


class JsonFormatter(logging.Formatter):
    """Formats one JSON object per line, in ASCII: JSON's own escapes make it safe, and nothing is cut off."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        date_time = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{date_time}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": _logger_name(record),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def configure_logging(level: str, format: str) -> None:  # noqa: A002 - named like the configuration's key
    """Log to standard error. A further call replaces the earlier configuration.

    Args:
        level: value of `agent.log_level`. Libraries log from `warning` on, or from `level` if that is higher.
        format: value of `agent.log_format`.
    """
    handler = _StandardErrorHandler()
    handler.setFormatter(_formatter(format))
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, _StandardErrorHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _LIBRARIES:  # at `info` and below they log every request and every packet
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def is_journal_stream(journal_stream: str, descriptor: int) -> bool:
    """Return whether `descriptor` is the stream to the journal that $JOURNAL_STREAM names as "device:inode".

    The variable alone does not tell: a child process inherits it even when its output goes elsewhere (systemd.exec(5)).
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


def _logger_name(record: logging.LogRecord) -> str:
    # The agent's own loggers by the module's name: its package is of no use to a user.
    return record.name.rpartition(".")[2] if record.name.startswith("agent.") else record.name


def _message(record: logging.LogRecord) -> str:
    return _line(f"{_logger_name(record)}: {record.getMessage()}")


def _exception(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [f"  {_line(line)}" for line in logging.Formatter().formatException(record.exc_info).split("\n")]


def _line(text: str) -> str:
    line = escape(text)
    if len(line) <= _MAX_LINE_CHARACTERS:
        return line
    return f"{line[:_MAX_LINE_CHARACTERS]}… ({len(line)} characters)"
