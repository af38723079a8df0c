"""Detection of another agent that publishes for the same host, by what it leaves retained on our own status topic."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import orjson

log = logging.getLogger(__name__)


class _RetainedStatus(NamedTuple):
    started_at: str
    time: str
    running: bool


class DuplicateAgentDetector:
    """Checks the retained status of the agent after each connect. For the publisher's thread."""

    def __init__(self, host: str, topic: str, started_at: str) -> None:
        self._host = host
        self._topic = topic
        self._first: _RetainedStatus | None = None
        self._known = {"", started_at}  # start times: no agent, ourselves, and those that were warned of

    def check(self, retained: Mapping[str, bytes]) -> None:
        """Warn, once for each, of another agent that runs, or has published since the first check.

        A `stopped` that is there at the first check is an earlier agent's: its last message, or its will, which the
        broker published when this agent's connection replaced that one's. Two agents of one host also have the same
        client id unless `broker.client_id` differs; what happens then is in mqtt/publisher.py.
        """
        status = _parse(retained.get(self._topic, b""))
        if self._first is None:
            self._first = status
        if status.started_at not in self._known and (status.running or status != self._first):
            self._known.add(status.started_at)
            log.warning(
                "another agent, started at %s, publishes for host %s on this broker too: "
                "stop one of them, or give each its own agent.host",
                status.started_at,
                self._host,
            )


def _parse(payload: bytes) -> _RetainedStatus:
    """Return the fields of a retained status; empty ones if no agent has published it."""
    try:
        status = orjson.loads(payload)
        return _RetainedStatus(str(status["started_at"]), str(status["time"]), status["status"] == "running")
    except (ValueError, KeyError, TypeError):
        return _RetainedStatus("", "", running=False)
