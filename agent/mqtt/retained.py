"""What the broker still retains from before: read once after each connecting, for it is the agent's memory."""

import logging
import time
from collections.abc import Callable

from agent.mqtt.connection import Connection

QUIET_SECONDS = 0.5  # seconds without another retained message after which there are no more
MAX_READ_SECONDS = 2.0  # seconds that all of it may take

log = logging.getLogger(__name__)


class RetainedReader:
    """Collects retained messages and hands them over; publishing goes on meanwhile. For the publisher's thread."""

    def __init__(self, topics: str, hand_over: Callable[[dict[str, bytes]], None]) -> None:
        self._topics = topics
        self._hand_over = hand_over
        self._found: dict[str, bytes] = {}
        self._done = False
        self._end: float | None = None
        self._quiet_at = float("inf")
        self._warned = False

    def start(self, connection: Connection) -> None:
        """Ask, before anything is published: what comes is what the broker had, not what it has just been given."""
        self._found = {}
        self._done = False
        self._end = None
        self._quiet_at = float("inf")
        connection.subscribe(self._topics)

    @property
    def due(self) -> float:
        """When to go on, monotonic, even if nothing comes in."""
        return float("inf") if self._done else self._quiet_at

    def poll(self, connection: Connection) -> None:
        """Collect what has come in; hand it over when it is all there."""
        if connection.subscription_granted is None:
            return
        arrived = dict(connection.retained())  # also when all is done: the last ones must not pile up
        if self._done:
            return
        if not connection.subscription_granted:
            self._done = True
            self._warn(connection)
            return
        now = time.monotonic()
        if self._end is None:
            self._end = now + MAX_READ_SECONDS
            self._quiet_at = now + QUIET_SECONDS
        if arrived:
            self._found.update(arrived)
            self._quiet_at = min(now + QUIET_SECONDS, self._end)
        if now >= self._quiet_at:
            self._done = True
            connection.unsubscribe(self._topics)
            self._hand_over(self._found)

    def _warn(self, connection: Connection) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "%s does not let the agent read %s, so it cannot mend what it left there before; "
                "let the agent's user read these topics, in the broker's access rules",
                connection.address,
                self._topics,
            )
