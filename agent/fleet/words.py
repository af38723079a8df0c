"""What is to be said of a container or a host, in words, for the terminal and for the page. Pure.

`wall` is always the Unix time in seconds.
"""

from agent.fleet import format as fmt
from agent.fleet.container import Container
from agent.fleet.documents import Document, find, integer, number, text
from agent.fleet.selection import Row
from agent.fleet.state import Host, State
from agent.runtime.timestamps import parse_time

LOST = "unknown: its host's agent is gone"


def unix_time(document: Document | None, *path: str) -> float | None:
    """Return a time of a document in Unix seconds, or None if there is none."""
    return _unix_seconds(text(document, *path))


def _unix_seconds(value: str | None) -> float | None:
    try:
        return None if value is None else parse_time(value) / 1e9
    except ValueError:
        return None


def started_seconds_ago(row: Row) -> float | None:
    """Return the seconds for which a container, or a host's agent, has run, by its host's clock; None if unknown."""
    document: Document | None
    if row.container is not None:
        document, newest = row.container.status, number(row.container.usage, "timestamp")
        end = None if newest is None else newest / 1e9
    else:
        document, end = row.host.status, unix_time(row.host.counters, "time")
    start = unix_time(document, "started_at")
    return None if start is None or end is None else max(0.0, end - start)


def ago(then: float | None, wall: float) -> str:
    """Return how long ago a Unix time was: `, 3m ago`; an empty text if `then` is None."""
    return "" if then is None else f", {fmt.duration(wall - then)} ago"


def stopped_text(row: Row, wall: float) -> str:
    """Return why a container has no usages: `exited with 137, out of memory, 3m ago`."""
    if row.container is None:
        return ""
    if not row.container.stopped:
        return LOST
    status = row.container.status
    return end_of(row.container) + ago(unix_time(status, "finished_at") or unix_time(status, "time"), wall)


def end_of(container: Container) -> str:
    """Return how a stopped container has ended: `exited with 137, out of memory`."""
    status = container.status
    words = text(status, "reason") or "stopped"
    code = integer(status, "exit_code")
    if code is not None:
        words += f" with {code}"
    if find(status, "oom_killed") is True:
        words += ", out of memory"
    return words


def host_note(host: Host, wall: float) -> str:
    """Return what is wrong with a host's agent, and since when; an empty text if nothing is."""
    words = host_trouble(host)
    return words + ago(_unix_seconds(ended_at(host)), wall) if words else ""


def ended_at(host: Host) -> str | None:
    """Return when a host's agent has ended; None if it is not known, or the agent runs.

    The time of a will is that of the connect, when the broker was handed it. That may be days before the end.
    """
    is_will = text(host.status, "reason") == "connection lost"
    return None if host.running or is_will else text(host.status, "time")


def host_trouble(host: Host) -> str:
    """Return what is wrong with a host's agent: `agent stopped: connection lost`; an empty text if nothing is."""
    if host.status is None:
        return "agent unknown: no status of it"
    return "" if host.running else f"agent stopped: {text(host.status, 'reason') or 'no reason given'}"


def note(container: Container, state: State, with_health: bool) -> str:
    """Return what is unusual about a container that runs: trouble, lateness, health, pause, dropped usages."""
    status, dropped = container.status, container.sequence.dropped
    notes = [
        text(status, "trouble") or ("late" if state == "late" else ""),
        "unhealthy" if with_health and text(status, "health") == "unhealthy" else "",
        own if (own := text(status, "state")) and own != "running" else "",
        f"{dropped} dropped" if dropped else "",
    ]
    return ", ".join(filter(None, notes))


def what_is_unusual(container: Container, state: State) -> str:
    """Return what is to be said of a container in any state; nothing if all is as it should be."""
    if state == "lost":
        return LOST
    return end_of(container) if state == "stopped" else note(container, state, with_health=True)
