"""`watch` without a screen: the messages as lines of JSON, or one table."""

import os
import select
import shutil
import sys
import time
from collections.abc import Sequence

import orjson

from agent.config import Config
from agent.fleet.documents import text
from agent.fleet.format import ASCII
from agent.fleet.received import Received, receive
from agent.fleet.selection import Selection
from agent.fleet.snapshot import Snapshot
from agent.fleet.state import Fleet
from agent.fleet.subscriber import Subscriber
from agent.fleet.table import Layout, Segment, Style
from agent.mqtt.errors import BrokerError
from agent.runtime.cancel import CancelToken
from agent.runtime.text import escape

BROKER_FAILED = 4  # exit code, as in `check`
HISTORY_SECONDS = 600.0
PIPE_COLUMNS = 132  # room for all columns

_SGR: dict[Style, str] = {
    "dim": "2",
    "title": "1",
    "host": "1;36",
    "graph": "32",
    "busy": "33",
    "full": "1;31",
    "warning": "33",
}
"""Styles on a terminal (ECMA-48, section 8.3.117)."""


class OneTable:
    """Prints the table once."""

    def __init__(self, config: Config, selection: Selection) -> None:
        self._base, self._selection = config.topics.base, selection
        self._fleet = Fleet(self._base, HISTORY_SECONDS)
        self._snapshot = Snapshot(self._fleet, selection)
        self._failure = ""
        self._address = ""
        self._subscriber = Subscriber(
            config.broker,
            self._base,
            "watch",
            lambda topic, payload: self._fleet.apply(topic, payload, time.monotonic()),
            self._on_connect,
            self._on_wait,
            self._on_trouble,
        )

    def run(self, ending: CancelToken) -> int:
        """Print the table when every container has shown a usage, or `ending` is set. Return the exit code."""
        with ending.interrupting(self._subscriber.stop):
            failure = _receive(self._subscriber) or self._failure
        if failure and not ending.is_set():
            return _fail(failure)
        self._print()
        return 0

    def _on_connect(self) -> None:
        self._address = self._subscriber.address or ""
        self._fleet.on_connect(time.monotonic())

    def _on_wait(self) -> None:
        if self._snapshot.complete(time.monotonic()):
            self._subscriber.stop()

    def _on_trouble(self, reason: str) -> None:
        self._failure = reason
        self._subscriber.stop()

    def _print(self) -> None:
        rows = self._selection.rows(self._fleet, time.monotonic())
        layout = Layout(shutil.get_terminal_size((PIPE_COLUMNS, 24)).columns, rows)
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        blocks = _shows_blocks()
        wall = time.time()
        for segments in [layout.header(), *(layout.row(row, wall) for row in rows)]:
            line = _coloured(segments) if colour else "".join(piece for piece, _ in segments).rstrip()
            print(line if blocks else line.translate(ASCII))
        if self._fleet.full:
            print("more is published than can be shown", file=sys.stderr)
        hosts = len(self._fleet.hosts)
        if not rows and hosts:
            print(f"nothing matches --host and --filter; hosts in all: {hosts}", file=sys.stderr)
        elif not rows:
            print(f"no host below {escape(self._base)}/ at {self._address}", file=sys.stderr)


class JsonLines:
    """Prints each message as a line of JSON."""

    def __init__(self, config: Config, selection: Selection, once: bool) -> None:
        """Prepare. With `once`, `run` ends at the moment at which OneTable would print its table."""
        self._base, self._selection = config.topics.base, selection
        self._fleet = Fleet(self._base, 0)
        self._snapshot = Snapshot(self._fleet, selection) if once else None
        self._output = select.poll()
        self._output.register(sys.stdout.fileno(), 0)
        self._subscriber = Subscriber(
            config.broker,
            self._base,
            "watch",
            self._on_message,
            lambda: self._fleet.on_connect(time.monotonic()),
            self._on_wait,
            lambda reason: print(f"broker: {escape(reason)}; connecting again", file=sys.stderr),
        )

    def run(self, ending: CancelToken) -> int:
        """Print messages until `ending` is set. Return the exit code.

        Raises:
            BrokenPipeError: the reader of the output has closed it.
        """
        with ending.interrupting(self._subscriber.stop):
            failure = _receive(self._subscriber)
        return _fail(failure) if failure and not ending.is_set() else 0

    def _on_message(self, topic: str, payload: bytes) -> None:
        received = receive(self._base, topic, payload)
        if received is None or not self._selects(received):
            return
        sys.stdout.buffer.write(json_line(received))
        sys.stdout.buffer.flush()
        if self._snapshot:
            self._fleet.apply(topic, payload, time.monotonic())

    def _on_wait(self) -> None:
        if self._output.poll(0):  # the reader of a pipe is gone
            raise BrokenPipeError
        if self._snapshot and self._snapshot.complete(time.monotonic()):
            self._subscriber.stop()

    def _selects(self, received: Received) -> bool:
        if received.level is None:
            return self._selection.has_host(received.host)
        return self._selection.has_host(received.host) and self._selection.has_container(_name(received))


def json_line(received: Received) -> bytes:
    """Return a message as a line of JSON."""
    document = {
        "host": received.host,
        "container": None if received.level is None else _name(received),
        "topic": received.topic,
        "kind": received.kind,
        "payload": received.payload,
    }
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _receive(subscriber: Subscriber) -> str:
    """Receive messages until the subscriber is stopped. Return why there was no connection at the beginning."""
    try:
        subscriber.connect()
    except BrokerError as error:
        return str(error)
    subscriber.run()
    return ""


def _fail(reason: str) -> int:
    print(f"broker: {escape(reason)}", file=sys.stderr)
    return BROKER_FAILED


def _name(received: Received) -> str:
    """Return the container's name; its topic level if the message has no name."""
    return text(received.payload, "container", "name") or received.level or ""


def _coloured(segments: Sequence[Segment]) -> str:
    return "".join(f"\x1b[{_SGR[style]}m{piece}\x1b[m" if style in _SGR else piece for piece, style in segments)


def _shows_blocks() -> bool:
    try:
        "━▁…".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
