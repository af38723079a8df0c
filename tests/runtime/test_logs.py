"""The formats of the log: for people, for the journal, for machines."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.runtime.logs import JournalFormatter, JsonFormatter, TextFormatter, is_journal_stream

FORGED = "web\n2026-11-24T20:40:00Z error supervisor: forged\r\x1b[2Kgone\u2028\u202egnp.exe\x85"
ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Started = Callable[..., list[str]]


def record(message: str, level: int = logging.INFO, error: BaseException | None = None) -> logging.LogRecord:
    """Return a log record as a formatter receives it."""
    info: ExceptionInfo | None = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("agent.supervisor", level, __file__, 1, "%s", (message,), info)
    made.created = 1_795_552_800.125
    made.msecs = 125.0
    return made


@pytest.mark.parametrize(
    ("level", "text", "journal"),
    [
        (logging.DEBUG, "2026-11-24T20:40:00Z debug supervisor: on", "<7>supervisor: on"),
        (logging.INFO, "2026-11-24T20:40:00Z info  supervisor: on", "<6>supervisor: on"),
        (logging.WARNING, "2026-11-24T20:40:00Z warning supervisor: on", "<4>supervisor: on"),
        (logging.ERROR, "2026-11-24T20:40:00Z error supervisor: on", "<3>supervisor: on"),
        (logging.CRITICAL, "2026-11-24T20:40:00Z critical supervisor: on", "<2>supervisor: on"),
    ],
)
def test_a_line_has_level_logger_and_message(level: int, text: str, journal: str) -> None:
    """Text has the time in UTC as well; the journal adds the time itself, and has a priority."""
    assert TextFormatter().format(record("on", level)) == text
    assert JournalFormatter().format(record("on", level)) == journal


def test_json_is_one_object_per_line() -> None:
    """Its fields are time, level, logger and message. Any message is kept unchanged."""
    line = JsonFormatter().format(record(FORGED, logging.WARNING))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {
        "time": "2026-11-24T20:40:00.125Z",
        "level": "warning",
        "logger": "supervisor",
        "message": FORGED,
    }


def test_no_message_can_forge_a_line_or_control_a_terminal() -> None:
    """Line ends, control characters and marks that change the direction of writing are escaped."""
    shown = r"supervisor: web\n2026-11-24T20:40:00Z error supervisor: forged\r\x1b[2Kgone\u2028\u202egnp.exe\x85"
    assert TextFormatter().format(record(FORGED)) == f"2026-11-24T20:40:00Z info  {shown}"
    assert JournalFormatter().format(record(FORGED)) == f"<6>{shown}"


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_message_is_one_line(message: str, failure: str) -> None:
    """Every further line belongs to an exception and is indented."""
    entry = record(message, logging.ERROR, ValueError(failure))
    first, *others = re.split(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", TextFormatter().format(entry))
    assert first.startswith("2026-11-24T20:40:00Z error supervisor: ")
    assert others
    assert all(line.startswith("  ") for line in others)
    assert all(line.startswith("<3>") for line in JournalFormatter().format(entry).splitlines())
    assert json.loads(JsonFormatter().format(entry))["message"] == message


def test_the_lines_of_an_exception_are_indented() -> None:
    """In JSON the traceback is a field of its own."""
    error = ValueError("bad\n<0>supervisor: forged")
    lines = JournalFormatter().format(record("failed", logging.ERROR, error)).split("\n")
    assert lines == ["<3>supervisor: failed", "<3>  ValueError: bad", "<3>  <0>supervisor: forged"]
    assert (
        json.loads(JsonFormatter().format(record("x", error=error)))["exception"]
        == "ValueError: bad\n<0>supervisor: forged"
    )


def test_a_line_is_shorter_than_the_journals_limit() -> None:
    """The journal splits lines at 48 KiB and would read a priority at the start of the rest."""
    line = JournalFormatter().format(record("\U0001f40b" * 60_000))
    assert len(line.encode()) < 48 * 1024
    assert line.endswith("… (60012 characters)")


def test_the_journal_is_recognized_by_device_and_inode(tmp_path: Path) -> None:
    """$JOURNAL_STREAM applies only if standard error is that stream."""
    with (tmp_path / "one").open("w") as one, (tmp_path / "two").open("w") as two:
        status = os.fstat(one.fileno())
        named = f"{status.st_dev}:{status.st_ino}"
        assert is_journal_stream(named, one.fileno())
        assert not is_journal_stream(named, two.fileno())
        assert not is_journal_stream("", one.fileno())
    assert not is_journal_stream(named, 10_000)


@pytest.fixture
def started(tmp_path: Path) -> Started:
    """Return a function that runs code in a new process and returns the lines it wrote to standard error."""

    def run(code: str, journal: bool = False) -> list[str]:
        with (tmp_path / "stderr").open("w") as stderr:
            status = os.fstat(stderr.fileno())
            stream = f"{status.st_dev}:{status.st_ino if journal else status.st_ino + 1}"
            environment = os.environ | {"JOURNAL_STREAM": stream, "PYTHONPATH": str(Path(__file__).parents[2])}
            code = f"import logging; from agent.runtime.logs import configure_logging; {code}"
            subprocess.run([sys.executable, "-c", code], stderr=stderr, env=environment, check=True)
        return (tmp_path / "stderr").read_text().splitlines()

    return run


def test_auto_is_the_journals_format_under_systemd_and_text_elsewhere(started: Started) -> None:
    """`auto` depends on where standard error goes; `text` and `json` do not."""
    code = "configure_logging('info', '{}'); logging.getLogger('agent.x').info('on')"
    assert started(code.format("auto"), journal=True) == ["<6>x: on"]
    [text] = started(code.format("auto"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ info  x: on", text)
    [text] = started(code.format("text"), journal=True)
    assert text.endswith("Z info  x: on")
    [line] = started(code.format("json"), journal=True)
    assert json.loads(line)["message"] == "on"


def test_libraries_log_warnings_and_errors_only(started: Started) -> None:
    """They log from `warning` on, or from the configured level if that is higher."""
    names = ("agent.x", "paho.mqtt", "docker.api", "urllib3.connectionpool")
    code = f"[logging.getLogger(n).log(l, '%d', l) for n in {names} for l in (10, 20, 30, 40)]"
    debug = started(f"configure_logging('debug', 'auto'); {code}", journal=True)
    assert debug[:4] == ["<7>x: 10", "<6>x: 20", "<4>x: 30", "<3>x: 40"]
    assert debug[4:] == [f"<{p}>{name}: {level}" for name in names[1:] for p, level in ((4, 30), (3, 40))]
    error = started(f"configure_logging('error', 'auto'); {code}", journal=True)
    assert error == ["<3>x: 40", *(f"<3>{name}: 40" for name in names[1:])]


def test_a_second_configuration_replaces_the_first(started: Started) -> None:
    """Each message is logged once. Handlers of other code stay."""
    code = (
        "logging.getLogger().addHandler(logging.NullHandler()); configure_logging('error', 'text'); "
        "configure_logging('info', 'auto'); "
        "logging.info('%d', len(logging.getLogger().handlers))"
    )
    assert started(code, journal=True) == ["<6>root: 2"]
