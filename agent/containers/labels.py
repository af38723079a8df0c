"""The labels by which a container says how the agent is to treat it. Pure.

usage-agent.enable     whether it is published; outranks the settings `engine.include` and `engine.exclude`
usage-agent.interval   seconds between two usages of it, in place of `agent.interval`
usage-agent.name       its name in topics and messages

A label may have any value. One that makes no sense counts as absent, and is reported once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from agent.runtime.text import escape, quote

ENABLE = "usage-agent.enable"
INTERVAL = "usage-agent.interval"
NAME = "usage-agent.name"

# The range of `agent.interval`.
MIN_INTERVAL_SECONDS = 0.5
MAX_INTERVAL_SECONDS = 3600.0

MAX_NAME_BYTES = 255  # in UTF-8; a whole topic has at most 65535, and other levels, too
MAX_SHOWN_CHARACTERS = 60  # of a wrong value

_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AgentLabels:
    """What the labels of one container mean. A value is None if its label is absent, or makes no sense.

    Attributes:
        enabled: whether the container is to be published.
        interval: seconds between two usages.
        name: the container's name in topics and messages; up to MAX_NAME_BYTES, without control characters.
        mistakes: by label, a sentence on each that makes no sense: what was found, and what is allowed.
    """

    enabled: bool | None
    interval: float | None
    name: str | None
    mistakes: Mapping[str, str]


_NO_LABELS = AgentLabels(None, None, None, {})


def parse_labels(labels: Mapping[str, str]) -> AgentLabels:
    """Read those labels of a container that are meant for the agent."""
    if labels.keys().isdisjoint((ENABLE, INTERVAL, NAME)):  # as of most containers
        return _NO_LABELS
    mistakes: dict[str, str] = {}

    def read(label: str, parse: Callable[[str], T | None], allowed: str) -> T | None:
        text = labels.get(label)
        if text is None:
            return None
        value = parse(text)
        if value is None:
            shown = quote(text, MAX_SHOWN_CHARACTERS)
            mistakes[label] = f"label {label} is {shown}, {allowed}; it counts as absent"
        return value

    return AgentLabels(
        read(ENABLE, _boolean, "allowed are true and false"),
        read(
            INTERVAL,
            _interval,
            f"allowed is a number from {MIN_INTERVAL_SECONDS:g} to {MAX_INTERVAL_SECONDS:g} (seconds)",
        ),
        read(NAME, _name, f"allowed is text of 1 to {MAX_NAME_BYTES} bytes, not blank, without control characters"),
        mistakes,
    )


def _boolean(text: str) -> bool | None:
    return _BOOLEANS.get(text.strip().lower())


def _interval(text: str) -> float | None:
    try:
        # Python would also take 1_0, and the digits of other scripts.
        seconds = float(text) if text.isascii() and "_" not in text else 0.0
    except ValueError:
        return None
    return seconds if MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS else None


def _name(text: str) -> str | None:
    name = text.strip()
    # escape() changes control characters, what cannot be encoded, and what turns the direction of writing.
    if not name or escape(text) != text or len(name.encode()) > MAX_NAME_BYTES:
        return None
    return name
