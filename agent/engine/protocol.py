"""What the engine's answers mean, and the errors there are when they mean nothing. Pure: bytes in, values out."""

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

T = TypeVar("T")

OLDEST_API = (1, 24)  # the first API with everything that is read here; docker-py begins there too

NEWEST_API = (1, 52)  # the newest that was tested: a newer engine is asked to speak this one

MAX_ANSWER_BYTES = 16 << 20  # bytes of an answer; a list has 3 kB for each container with many labels, an inspect 60 kB

MAX_SHOWN_CHARACTERS = (
    200  # characters of what cannot be understood, in errors: a line of the log is no place for all of it
)

_ID = re.compile("[0-9a-f]{64}")

_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")

_CODE = re.compile("[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a container; `time` in ns since the epoch, by the engine's clock.

    `action` is the bare word ("health_status") and `detail` what the engine wrote after its colon ("healthy").
    `attributes` are the container's labels together with what belongs to the action ("exitCode").
    """

    time: int
    action: str
    detail: str
    id: str
    name: str
    attributes: Mapping[str, str]

    @classmethod
    def unlisted(cls, container_id: str, now: int) -> "Event":
        """What the engine would have told of a container that is not in its list any more."""
        return cls(now, "destroy", "", container_id, "", {})

    @property
    def exit_code(self) -> int | None:
        """How the container ended, if that is what happened and the engine says it."""
        code = self.attributes.get("exitCode", "")
        return int(code) if _CODE.fullmatch(code) else None


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID")
    attributes: dict[str, str] | None = msgspec.field(name="Attributes", default=None)


class _Event(msgspec.Struct):
    """What all versions agree on: `status`, `id` and `from` are gone since API 1.52."""

    type: str = msgspec.field(name="Type")
    action: str = msgspec.field(name="Action")
    actor: _Actor = msgspec.field(name="Actor")
    time: Annotated[int, Meta(ge=0, lt=1 << 62)] = msgspec.field(name="timeNano")  # up to the year 2116


class VersionDocument(msgspec.Struct):
    """The answer to /version, as far as it matters."""

    version: Annotated[str, Meta(max_length=100)] = msgspec.field(name="Version")
    api: str = msgspec.field(name="ApiVersion")
    oldest: str = msgspec.field(name="MinAPIVersion", default="")


class InfoDocument(msgspec.Struct):
    """The answer to /info, as far as it matters; `cgroup` is "1" or "2"."""

    cgroup: Annotated[str, Meta(max_length=10)] = msgspec.field(name="CgroupVersion", default="")


class _ErrorDocument(msgspec.Struct):
    message: str = ""


def decode(raw: bytes, kind: type[T]) -> T:
    """Return the JSON document as a `kind`; raise InvalidResponseError for anything else, saying what was wrong."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = str(error)[:MAX_SHOWN_CHARACTERS]
        raise InvalidResponseError(f"the engine's answer cannot be understood: {why}: {raw[:60]!r}") from error


def is_container_id(value: object) -> bool:
    """Whether this is a container's id: 64 hexadecimal digits, Docker's as well as Podman's."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def parse_event(line: bytes) -> Event | None:
    """Return what one line of /events says, None if it is about something else than a container.

    Raises msgspec.ValidationError for a document of another shape, InvalidResponseError for what is no document.
    """
    document = decode(line, dict[str, object])
    if document.get("Type") != "container":
        return None
    found = msgspec.convert(document, _Event)
    if not found.actor.id:
        return None  # of several at once, as `prune`
    if not is_container_id(found.actor.id):
        raise msgspec.ValidationError(f"not a container's id: {found.actor.id[:MAX_SHOWN_CHARACTERS]!r}")
    action, _, detail = found.action.partition(":")
    attributes = found.actor.attributes or {}
    return Event(found.time, action.strip(), detail.strip(), found.actor.id, attributes.get("name", ""), attributes)


def error_from_response(path: str, status: int, reason: str, body: bytes) -> EngineRefusedError:
    """Return the error for an answer with an HTTP status other than 200."""
    try:
        message = decode(body, _ErrorDocument).message
    except InvalidResponseError:  # a proxy on the way may answer with a web page
        message = ""
    words = (message or body[:MAX_SHOWN_CHARACTERS].decode(errors="replace"))[:MAX_SHOWN_CHARACTERS]
    text = f"the engine refused {path}: {status} {reason[:MAX_SHOWN_CHARACTERS]}: {words}"
    # A proxy's 404, or one for a path that the engine does not know, is no word on the container.
    unknown = status == 404 and "/containers/" in path and "container" in message.lower()
    return NoSuchContainerError(status, text) if unknown else EngineRefusedError(status, text)


def negotiate_version(engine: VersionDocument) -> tuple[int, int]:
    """Return the API version to speak: the newest that both know. Raises EngineError where there is none."""
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
    """Split at newlines, wherever the chunks begin and end; empty lines are left out.

    Raises InvalidResponseError for a line that does not end, EngineUnreachableError when the chunks end within one:
    engines close every document with a newline, so that one was torn off.
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
