"""Detection of another agent that publishes for the same host, by what it retains on this agent's status topic."""

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
        self._known = {"", started_at}  # start times: none, this agent's, and those already warned of

    def check(self, retained: Mapping[str, bytes]) -> None:
        """Warn of another agent that runs, or that has published a status since the first check; once for each agent.

        A `stopped` that is there at the first check was left by an earlier agent, and is no reason to warn. It is that
        agent's last message, or its will, which the broker published when this agent connected with the same client id.

        Two agents of one host have the same client id, unless their `broker.client_id` differs. For what happens then
        see mqtt/publisher.py.

        Args:
            retained: the retained payloads below the host's topics, by topic.
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
