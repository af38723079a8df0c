"""A container as the engine describes it: inspect documents and events, read into one value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.containers.labels import AgentLabels, parse_labels
from agent.engine.protocol import Event
from agent.runtime.text import preview
from agent.runtime.timestamps import format_time, parse_time

# The states in the engine's list: first Docker's words, then those that only Podman has.
RUNNING_STATES = ("running", "paused")
_OTHER_STATES = (
    "created",
    "restarting",
    "removing",
    "exited",
    "dead",
    "configured",
    "initialized",
    "stopped",
    "stopping",
)
_NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Container:
    """A container at one instant.

    Names and labels are as the engine gives them, and may contain anything: a topic is made of them by `topic_level()`.
    `created` is in nanoseconds since the epoch; the other times are RFC 3339 in UTC. A field is None if the engine did
    not give it, or if it has no value yet, as `finished_at` in the container's first run. `state` is None while only
    the kernel can be asked whether the container runs.
    """

    id: str
    name: str
    image: str
    created: int
    labels: Mapping[str, str]
    running: bool
    state: str | None
    started_at: str | None
    finished_at: str | None
    exit_code: int | None
    oom_killed: bool | None
    health: str | None
    restart_count: int | None

    def ended(self, exit_code: int | None, finished_at: str | None) -> "Container":
        """Return the container as ended, with these values; None for those that are not known.

        For a run that the engine no longer describes, because a new run has begun or the container is gone.
        """
        return replace(self, running=False, state="exited", health=None, exit_code=exit_code, finished_at=finished_at)

    def ended_unseen(self) -> "Container":
        """Return the container as ended: the kernel shows that it has, and no engine can be asked how."""
        return replace(self.ended(None, None), state=None)

    def begun_unseen(self) -> "Container":
        """Return the container as running again: the kernel shows processes, and no engine can be asked about them."""
        return replace(self, running=True, state=None, started_at=None, oom_killed=None, restart_count=None)

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id, as `docker ps` shows it."""
        return self.id[:12]

    @property
    def agent_labels(self) -> AgentLabels:
        """Those of its labels that are meant for the agent."""
        return parse_labels(self.labels)

    @property
    def project(self) -> str | None:
        """The Compose project; None if it belongs to none."""
        return self.labels.get("com.docker.compose.project") or None

    @property
    def service(self) -> str | None:
        """The Compose service; None if it belongs to none."""
        return self.labels.get("com.docker.compose.service") or None


def parse_inspect(document: Mapping[str, Any]) -> Container:
    """Read the answer to `GET /containers/{id}/json`, Docker's or Podman's.

    Raises:
        ValueError: the document lacks the id, name, time of creation or state; the message names what is missing.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"not an inspect document but {type(document).__name__}")  # noqa: TRY004  # one error for all documents
    config, state = _section(document, "Config"), _section(document, "State")
    # A paused container is running and paused with Docker, but only paused with Podman.
    running_or_paused = _flag(state, "Running") or state.get("Paused") is True
    running = running_or_paused and state.get("Restarting") is not True
    started_at = _time(state.get("StartedAt"))
    return Container(
        id=_text(document, "Id"),
        name=_name(document),
        image=_first_text(config.get("Image"), document.get("ImageName"), document.get("Image")) or "",
        created=_created(document),
        labels={key: value for key, value in _section(config, "Labels").items() if isinstance(value, str)},
        running=running,
        state=_first_text(state.get("Status")) or ("running" if running else "exited"),
        started_at=started_at,
        finished_at=_time(state.get("FinishedAt")),
        # Engines write 0 while a container runs, and if it never ran: that is no exit code.
        exit_code=None if running or started_at is None else _integer(state.get("ExitCode")),
        oom_killed=state["OOMKilled"] if isinstance(state.get("OOMKilled"), bool) else None,
        health=_health(state),
        restart_count=_integer(document.get("RestartCount"), least=0),
    )


def parse_inspect_of(document: Mapping[str, Any], container_id: str) -> Container:
    """Read the answer to `GET /containers/{id}/json` about this container.

    Raises:
        ValueError: as `parse_inspect` does, and if the document is about another container.
    """
    found = parse_inspect(document)
    if found.id != container_id:
        raise ValueError(f"Id: expected {container_id}, found {preview(found.id, 70)}")
    return found


def container_from_event(event: Event) -> Container:
    """Return the container of a `start` event, as far as the event describes it.

    This is for a container that was removed before it could be inspected. The attributes of an event are the labels of
    the container, with its name and image among them.
    """
    return Container(
        id=event.id,
        name=event.name or event.id[:12],
        image=event.attributes.get("image", ""),
        created=event.time,
        labels=event.attributes,
        running=True,
        state="running",
        started_at=format_time(event.time),
        finished_at=None,
        exit_code=None,
        oom_killed=None,
        health=None,
        restart_count=None,
    )


def update_from_row(known: Container | None, row: Mapping[str, Any]) -> Container:
    """Return the container that a row of the engine's list describes. For a container that cannot be inspected.

    Args:
        known: the container as the engine described it before; None if it never has.
        row: a row with an id, of `GET /containers/json`. What it does not say is taken from `known`.

    Raises:
        ValueError: the row has no state of a container.
    """
    state = row.get("State")
    if not isinstance(state, str) or state not in RUNNING_STATES + _OTHER_STATES:
        raise ValueError(f"State: expected one of a container, found {preview(state)}")
    running = state in RUNNING_STATES
    if known and known.running == running:
        return replace(known, state=state)
    if known and not running:
        return replace(known.ended(None, None), state=state)
    names = row.get("Names")
    # A container that another one is linked to has a second name, `/other/alias`.
    own = [name for name in names if isinstance(name, str) and name.rfind("/") == 0] if isinstance(names, list) else []
    created = row.get("Created")
    return Container(
        id=row["Id"],
        name=_first_text(*(name[1:] for name in own)) or row["Id"][:12],
        image=_first_text(row.get("Image")) or "",
        created=created * _NS_PER_SECOND if type(created) is int else 0,
        labels={key: value for key, value in _section(row, "Labels").items() if isinstance(value, str)},
        running=running,
        state=state,
        started_at=None,
        finished_at=None,
        exit_code=None,
        oom_killed=None,
        health=None,
        restart_count=None,
    )


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return part if isinstance(part, Mapping) else {}


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: expected text, found {preview(value)}")
    return value


def _name(document: Mapping[str, Any]) -> str:
    name = _text(document, "Name").removeprefix("/")
    if not name:
        raise ValueError("Name: expected more than a slash")
    return name


def _first_text(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def _flag(state: Mapping[str, Any], name: str) -> bool:
    value = state.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"State.{name}: expected true or false, found {preview(value)}")  # noqa: TRY004
    return value


def _created(document: Mapping[str, Any]) -> int:
    try:
        return parse_time(_text(document, "Created"))
    except ValueError as error:
        raise ValueError(f"Created: {error}") from error


def _time(value: object) -> str | None:
    """Return a time, RFC 3339 in UTC; None if it is no time, or what engines write for "never" (year 1, the epoch)."""
    try:
        ns = parse_time(value) if isinstance(value, str) else 0
    except ValueError:
        return None
    return format_time(ns) if ns > 0 else None


def _integer(value: object, least: int = -(1 << 63)) -> int | None:
    return value if type(value) is int and least <= value < 1 << 63 else None


def _health(state: Mapping[str, Any]) -> str | None:
    status = _section(state, "Health").get("Status") or _section(state, "Healthcheck").get("Status")
    return status if isinstance(status, str) and status not in ("", "none") else None
