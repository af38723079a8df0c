"""Another agent that speaks for the same host, told by what it leaves at our own topic."""

import logging
from collections.abc import Mapping

import orjson

log = logging.getLogger(__name__)


class DuplicateAgentDetector:
    """Looks at the agent's status as the broker had it, after each connecting. For the publisher's thread."""

    def __init__(self, host: str, topic: str, started_at: str) -> None:
        self._host = host
        self._topic = topic
        self._left: tuple[str, str] | None = None
        self._known = {"", started_at}

    def check(self, retained: Mapping[str, bytes]) -> None:
        """Warn, once of each, of an agent that is not us and runs, or has spoken since we first looked.

        What is there at first and does not run was left behind by an agent before us: by its will, if we took over.
        """
        started_at, time, runs = _read(retained.get(self._topic, b""))
        if self._left is None:
            self._left = (started_at, time)
        if started_at not in self._known and (runs or self._left != (started_at, time)):
            self._known.add(started_at)
            log.warning(
                "another agent, started at %s, speaks for host %s on this broker, too: "
                "end one of them, or give each its own agent.host",
                started_at,
                self._host,
            )


def _read(payload: bytes) -> tuple[str, str, bool]:
    """When that agent was started, when it said this, and whether that it runs; empty where no agent has spoken."""
    try:
        status = orjson.loads(payload)
        return str(status["started_at"]), str(status["time"]), status["status"] == "running"
    except (ValueError, KeyError, TypeError):
        return "", "", False
