"""Responses, events and version negotiation of the Engine API. Pure: bytes in, values out.

Documents: https://docs.docker.com/reference/api/engine/ (versions, and "System": /version, /info, /events).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from agent.engine.errors import (
    EngineError,
    EngineRefusedError,
    EngineUnreachableError,
    InvalidResponseError,
    NoSuchContainerError,
)
from agent.runtime.text import quote

T = TypeVar("T")

OLDEST_API = (1, 24)  # the first version with all fields that are read here; docker-py begins there, too
NEWEST_API = (1, 52)  # the newest version that was tested; newer engines are asked to speak this one
MAX_ANSWER_BYTES = 16 << 20  # a list has 3 kB for each container with many labels, an inspect document 60 kB
MAX_SHOWN_CHARACTERS = 200  # of an invalid response in an error, which has to fit into a line of the log

_ID = re.compile("[0-9a-f]{64}")
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_PAGE = re.compile(rb"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
_TITLE = re.compile(rb"<title>([^<]*)", re.IGNORECASE)
_EXIT_CODE = re.compile("[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a container.

    Attributes:
        time: by the engine's clock, ns since the epoch.
        action: the action without its detail, such as "health_status".
        detail: what the engine wrote after the action's colon, such as "healthy"; may be empty.
        id: the container's id.
        name: the container's name; empty if the engine left it out.
        attributes: the container's labels, and values that belong to the action, such as "exitCode".
    """

    time: int
    action: str
    detail: str
    id: str
    name: str
    attributes: Mapping[str, str]

    @classmethod
    def unlisted(cls, container_id: str, now: int) -> "Event":
        """Return the event that the engine would have sent for a container that is no longer in its list."""
        return cls(now, "destroy", "", container_id, "", {})

    @property
    def exit_code(self) -> int | None:
        """The exit code of the container; None for events that have none."""
        code = self.attributes.get("exitCode", "")
        return int(code) if _EXIT_CODE.fullmatch(code) else None


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID")
    attributes: dict[str, str] | None = msgspec.field(name="Attributes", default=None)


class _Event(msgspec.Struct):
    """The fields that all API versions have: `status`, `id` and `from` are gone since 1.52."""

    type: str = msgspec.field(name="Type")
    action: str = msgspec.field(name="Action")
    actor: _Actor = msgspec.field(name="Actor")
    time: Annotated[int, Meta(ge=0, lt=1 << 62)] = msgspec.field(name="timeNano")  # up to the year 2116


class VersionDocument(msgspec.Struct):
    """The fields of GET /version that are used; `oldest` is empty before API 1.25."""

    version: Annotated[str, Meta(max_length=100)] = msgspec.field(name="Version")
    api: str = msgspec.field(name="ApiVersion")
    oldest: str = msgspec.field(name="MinAPIVersion", default="")


class InfoDocument(msgspec.Struct):
    """The fields of GET /info that are used; `cgroup` is "1" or "2", empty before API 1.41."""

    cgroup: Annotated[str, Meta(max_length=10)] = msgspec.field(name="CgroupVersion", default="")


class _ErrorDocument(msgspec.Struct):
    message: str = ""


def decode(raw: bytes, kind: type[T]) -> T:
    """Return a JSON document as a `kind`. Raises InvalidResponseError, with the reason, for any other bytes."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error)[:MAX_SHOWN_CHARACTERS]
        raise InvalidResponseError(
            f"the engine's answer cannot be understood: {reason}: {describe_body(raw)}"
        ) from error


def describe_body(raw: bytes) -> str:
    """Describe a body that is not what the Engine API specifies: as a web page, or else by its first bytes."""
    if not _PAGE.match(raw[:1024]):
        return repr(raw[:60])
    title = _TITLE.search(raw[:4096])
    named = f", {quote(title[1].decode(errors='replace').strip(), MAX_SHOWN_CHARACTERS)}" if title else ""
    return f"a web page{named}; is engine.url the address of an engine, and not of a web server?"


def is_container_id(value: object) -> bool:
    """Return whether this is the id of a container: 64 hexadecimal digits, of Docker's and Podman's alike."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def parse_event(line: bytes) -> Event | None:
    """Return the event in one line of /events; None if it is not about exactly one container.

    Raises:
        msgspec.ValidationError: the line is a JSON object, but no event as described.
        InvalidResponseError: the line is no JSON object.
    """
    document = decode(line, dict[str, object])
    if document.get("Type") != "container":
        return None
    found = msgspec.convert(document, _Event)
    if not found.actor.id:
        return None  # `prune` is an event of several containers at once
    if not is_container_id(found.actor.id):
        raise msgspec.ValidationError(f"not a container's id: {found.actor.id[:MAX_SHOWN_CHARACTERS]!r}")
    action, _, detail = found.action.partition(":")
    attributes = found.actor.attributes or {}
    return Event(found.time, action.strip(), detail.strip(), found.actor.id, attributes.get("name", ""), attributes)


def error_from_response(path: str, status: int, reason: str, body: bytes) -> EngineRefusedError:
    """Return the error for a response with an HTTP status other than 200."""
    try:
        message = decode(body, _ErrorDocument).message
    except InvalidResponseError:  # a proxy in between may answer with a web page
        message = ""
    words = message[:MAX_SHOWN_CHARACTERS]
    if not words:
        page = _PAGE.match(body[:1024])
        words = describe_body(body) if page else body[:MAX_SHOWN_CHARACTERS].decode(errors="replace")
    text = f"the engine refused {path}: {status} {reason[:MAX_SHOWN_CHARACTERS]}: {words}"
    # The 404 of a proxy, or for a path that the engine does not know, says nothing about the container.
    unknown = status == 404 and "/containers/" in path and "container" in message.lower()
    return NoSuchContainerError(status, text) if unknown else EngineRefusedError(status, text)


def negotiate_version(engine: VersionDocument) -> tuple[int, int]:
    """Return the newest API version that both the engine and the agent know.

    Raises:
        EngineError: there is none.
        InvalidResponseError: the engine's version is not a version.
    """
    newest = _version(engine.api)
    if newest < OLDEST_API:
        raise EngineError(f"engine {engine.version} speaks API {engine.api} at most; 1.24 (Docker 1.12) is needed")
    if engine.oldest and _version(engine.oldest) > NEWEST_API:
        raise EngineError(
            f"engine {engine.version} speaks API {engine.oldest} at least; usage-agent knows 1.52 at most"
        )
    return min(newest, NEWEST_API)


def _version(text: str) -> tuple[int, int]:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise InvalidResponseError(f"not an API version: {text[:60]!r}")
    return int(match[1]), int(match[2])


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a body, wherever its chunks begin and end; blank lines are left out.

    Raises:
        InvalidResponseError: a line has more than MAX_ANSWER_BYTES.
        EngineUnreachableError: the chunks end within a line. Engines end every document with a newline, so the
            connection broke in the middle of one.
    """
    begun = bytearray()
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            begun += line
            if begun.strip():
                yield bytes(begun)
            begun.clear()
        begun += rest
        if len(begun) > MAX_ANSWER_BYTES:
            raise InvalidResponseError(
                f"the engine sent a line of more than {MAX_ANSWER_BYTES} bytes: {bytes(begun[:60])!r}"
            )
    if begun.strip():
        raise EngineUnreachableError(f"the engine ended in the middle of a document: {bytes(begun[-60:])!r}")
