"""Rejected messages: logged once for each topic and reason, and reported as a trouble while there are new ones."""

import logging
import time
from collections.abc import Callable

from agent.mqtt.reason_codes import message_rejection
from agent.runtime.retry import BackoffPolicy
from agent.runtime.text import quote

MAX_TOPICS = 1000  # topics whose last reason is kept; in months many topics come and go
MAX_LOGGED_TOPIC = 1000  # characters of a topic in the log

# How long a topic counts as rejected after its last rejection: at least so many intervals between usages, and so many
# caps of the backoff, because a rejected status is sent again after one cap.
REJECTED_INTERVALS = 3
REJECTED_CAPS = 2

log = logging.getLogger(__name__)


class Rejections:
    """What the broker has rejected. For the publisher's thread.

    Args:
        interval: returns the seconds between two usages of a container.
        backoff: the publisher's; a rejected status is sent again after its cap.
    """

    def __init__(self, interval: Callable[[], float], backoff: BackoffPolicy) -> None:
        self._interval = interval
        self._backoff = backoff
        self._logged: dict[str, str] = {}  # the last reason, by topic
        self._current: dict[str, float] = {}  # monotonic moment of the last rejection, by topic; the oldest first

    def add(self, topic: str, code: int) -> None:
        """Note that a message was rejected, and log it if the reason is a new one for its topic."""
        self._current.pop(topic, None)
        self._current[topic] = time.monotonic()
        if len(self._current) > MAX_TOPICS:
            del self._current[next(iter(self._current))]
        reason = message_rejection(code)
        if self._logged.get(topic) == reason:
            return
        if len(self._logged) >= MAX_TOPICS:
            self._logged.clear()
        self._logged[topic] = reason
        log.warning("the broker does not take messages on %s: %s", _shown(topic), reason)

    def note_accepted(self, topic: str) -> None:
        """Note that a message was accepted: its topic does not count as rejected any more."""
        self._current.pop(topic, None)

    @property
    def trouble(self) -> str | None:
        """What the broker rejects now; None if it takes everything."""
        while self._current:
            topic, moment = next(iter(self._current.items()))
            if time.monotonic() < moment + max(
                REJECTED_INTERVALS * self._interval(), REJECTED_CAPS * self._backoff.cap
            ):
                newest = next(reversed(self._current))
                others = f" and {len(self._current) - 1} more" if len(self._current) > 1 else ""
                reason = self._logged.get(newest, "see the log")
                return f"the broker does not take messages on {_shown(newest)}{others}: {reason}"
            del self._current[topic]
        return None


def _shown(topic: str) -> str:
    return topic if len(topic) < MAX_LOGGED_TOPIC else quote(topic)
