"""The fuzz targets: one function for each kind of input; it fails on any error that is not permitted."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from agent.containers.container import container_from_event, parse_inspect
from agent.containers.reconcile import RetainedStatusReconciler
from agent.containers.retention import StatusRetention
from agent.engine.errors import EngineError, InvalidResponseError
from agent.engine.protocol import (
    InfoDocument,
    VersionDocument,
    decode,
    error_from_response,
    is_container_id,
    negotiate_version,
    parse_event,
    split_lines,
)
from agent.messages.outbox import Outbox
from agent.runtime.timestamps import format_time
from fuzz.http_answer import call_engine
from fuzz.outcome import (
    MESSAGES,
    assert_publishable,
    assert_usable,
    assert_valid,
    new_registry,
    short_errors,
    try_reading,
)
from fuzz.structure import STATUS

STOPPED = {
    "Id": STATUS["container"]["id"],
    "Created": "2026-11-24T18:41:47Z",
    "State": {"Running": False, "StartedAt": "2026-11-24T18:41:48Z", "ExitCode": 3},
}


def stats(data: bytes) -> None:
    """Two stats documents, one per line: ReadingError, or a possible usage, in both orders."""
    first, _, second = data.partition(b"\n")
    old, new = try_reading(first, 0.0), try_reading(second, 1.0)
    if old and new:
        assert_usable(old, new)
        assert_usable(new, old)


def inspect(data: bytes) -> None:
    """An inspect document: InvalidResponseError, ValueError, or a container that can be published."""
    container = None
    with short_errors(InvalidResponseError, ValueError):
        container = parse_inspect(decode(data, dict[str, Any]))
    if container and is_container_id(container.id):  # the supervisor accepts only the id that it requested
        assert_publishable(container)


def events(data: bytes) -> None:
    """A stream of events: permitted errors, or events that can be published."""
    with suppress(EngineError):
        for line in split_lines([data[:7], data[7:]]):
            with suppress(msgspec.ValidationError):
                event = parse_event(line)
                if event:
                    container = container_from_event(event)
                    assert_publishable(container)
                    ended = format_time(event.time)
                    assert_publishable(replace(container, running=False, exit_code=event.exit_code, finished_at=ended))


def answers(data: bytes) -> None:
    """The responses of version, info, list and errors."""
    for kind in (VersionDocument, InfoDocument, list[dict[str, Any]]):
        with suppress(EngineError):
            found = decode(data, kind)
            if isinstance(found, VersionDocument):
                assert negotiate_version(found) >= (1, 24)
    assert len(str(error_from_response("/v1.41/containers/web/json", 404, "Not Found", data))) < 1000


def retained_statuses(data: bytes) -> None:
    """A retained payload, with its topic in the first line: ignored, or replaced by a valid status."""
    topic, _, payload = data.partition(b"\n")
    for known in (None, "web", "excluded", "renamed"):
        _reconcile_retained(topic, payload, known)


def _reconcile_retained(topic: bytes, payload: bytes, known: str | None) -> None:
    """Reconcile it while the container of the seeds is unknown, unchanged, excluded, or renamed."""
    outbox = Outbox(10, "drop_newest")
    registry, retention = new_registry(outbox), StatusRetention(600)
    if known:
        tracked = registry.get_or_create(STATUS["container"]["id"])
        registry.update(tracked, parse_inspect({**STOPPED, "Name": f"/{known}"}))
    reconciler = RetainedStatusReconciler(registry, retention, MESSAGES)
    name = re.sub("[+#\0]", "_", topic.decode(errors="replace"))  # not permitted in topic names
    reconciler.add({f"containers/h/{name}": payload})
    reconciler.reconcile(lambda: True)
    list(assert_valid(outbox))
    retention.expired(time.monotonic())


TARGETS: dict[str, Callable[[bytes], None]] = {
    "stats": stats,
    "inspect": inspect,
    "events": events,
    "answers": answers,
    "ghosts": retained_statuses,
    "http": call_engine,
}
