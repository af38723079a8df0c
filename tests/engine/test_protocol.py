"""Responses, events and version negotiation, as pure functions of bytes."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.errors import (
    EngineError,
    EngineRefusedError,
    EngineUnreachableError,
    InvalidResponseError,
    NoSuchContainerError,
)
from agent.engine.protocol import (
    MAX_ANSWER_BYTES,
    Event,
    VersionDocument,
    decode,
    error_from_response,
    negotiate_version,
    parse_event,
    split_lines,
)

ID = "c0ffee" + "0" * 58
DOCUMENTS = st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=8)


@given(documents=DOCUMENTS, cuts=st.lists(st.integers(0, 400), max_size=20))
def test_lines_do_not_depend_on_where_chunks_are_cut(documents: list[bytes], cuts: list[int]) -> None:
    """Documents come out whole, whether a chunk has a part of one or several."""
    whole = b"".join(document + b"\n" for document in documents)
    edges = sorted({0, *(min(cut, len(whole)) for cut in cuts), len(whole)})
    chunks = [whole[begin:end] for begin, end in pairwise(edges)]
    assert b"".join(chunks) == whole
    assert list(split_lines(chunks)) == [document for document in documents if document.strip()]


def test_line_is_passed_on_with_its_newline() -> None:
    """A document does not wait until the next one begins."""
    chunks = iter([b'{"a":1}', b"\n", b'{"b"'])
    assert next(split_lines(chunks)) == b'{"a":1}'
    assert next(chunks) == b'{"b"'


def test_stream_that_ends_within_a_line_is_broken() -> None:
    """Engines end every document with a newline, so even a clean end within one is a lost connection."""
    lines = split_lines([b'{"a":1}\n{"b"'])
    assert next(lines) == b'{"a":1}'
    with pytest.raises(EngineUnreachableError, match="in the middle of a document"):
        next(lines)


def test_line_without_end_is_refused() -> None:
    """A line without end does not fill the memory."""
    taken = 0

    def chunks() -> Any:
        nonlocal taken
        while True:
            taken += 1 << 16
            yield b"x" * (1 << 16)

    with pytest.raises(InvalidResponseError, match="a line of more than"):
        list(split_lines(chunks()))
    assert taken <= MAX_ANSWER_BYTES + (2 << 16)


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"\xff\xfe", b'{"a":', b"[1]", b"null", b"1", b"[" * 100_000])
def test_anything_but_a_json_object_is_invalid(raw: bytes) -> None:
    """The error shows the beginning of the bytes, never all of them."""
    with pytest.raises(InvalidResponseError) as raised:
        decode(raw, dict[str, object])
    assert len(str(raised.value)) < 400


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_decoded_or_invalid(raw: bytes) -> None:
    """No bytes raise any other error."""
    with suppress(InvalidResponseError):
        assert isinstance(decode(raw, dict[str, object]), dict)


def event_line(action: str, **more: Any) -> bytes:
    actor = {"ID": ID, "Attributes": {"name": "web", "image": "nginx", "exitCode": "137"}}
    return json.dumps(
        {"Type": "container", "Action": action, "Actor": actor, "timeNano": 1_700_000_000_123_456_789} | more
    ).encode()


@pytest.mark.parametrize(
    "more",
    [
        {"status": "die", "id": ID, "from": "nginx", "time": 1_700_000_000, "scope": "local"},  # up to API 1.51
        {"time": 1_700_000_000, "scope": "local"},  # API 1.52
    ],
)
def test_event_of_every_api_version_is_parsed(more: dict[str, Any]) -> None:
    """Only fields that all versions have are used."""
    event = parse_event(event_line("die", **more))
    assert event == Event(
        time=1_700_000_000_123_456_789,
        action="die",
        detail="",
        id=ID,
        name="web",
        attributes={"name": "web", "image": "nginx", "exitCode": "137"},
    )


@pytest.mark.parametrize(
    ("written", "action", "detail"),
    [
        ("health_status: healthy", "health_status", "healthy"),
        ("exec_create: true", "exec_create", "true"),
        ("exec_start: sh -c a:b", "exec_start", "sh -c a:b"),
        ("start", "start", ""),
    ],
)
def test_detail_is_split_from_the_action(written: str, action: str, detail: str) -> None:
    """The text after the first colon is the detail of the action."""
    event = parse_event(event_line(written))
    assert event is not None
    assert (event.action, event.detail) == (action, detail)


def test_events_of_other_types_are_none() -> None:
    """Events of networks, images and volumes are ignored, whatever their shape is."""
    assert parse_event(b'{"Type":"network","Action":"connect"}') is None
    assert parse_event(b"{}") is None


def test_event_of_several_containers_is_none() -> None:
    """`docker container prune` is an event of type container, without an id."""
    assert parse_event(event_line("prune", Actor={"ID": "", "Attributes": {"reclaimed": "0"}})) is None


@pytest.mark.parametrize(("written", "code"), [("0", 0), ("137", 137), ("", None), ("-1", None), ("9" * 5000, None)])
def test_invalid_exit_code_is_none(written: str, code: int | None) -> None:
    """Text that is no exit code gives None; so do more digits than Python converts."""
    event = parse_event(event_line("die", Actor={"ID": ID, "Attributes": {"exitCode": written}}))
    assert event is not None
    assert event.exit_code == code


def test_event_without_attributes_is_parsed() -> None:
    """The id alone is enough."""
    event = parse_event(event_line("die", Actor={"ID": ID, "Attributes": None}))
    assert event is not None
    assert (event.name, event.attributes) == ("", {})


@pytest.mark.parametrize(
    "more",
    [
        {"Action": 5},
        {"timeNano": "now"},
        {"timeNano": -1},
        {"timeNano": 2**62},
        {"Actor": None},
        {"Actor": {"ID": 1}},
        {"Actor": {"ID": "web"}},
        {"Actor": {"ID": ID.upper()}},
    ],
)
def test_event_of_an_unknown_shape_is_a_validation_error(more: dict[str, Any]) -> None:
    """The error differs from that for invalid JSON, since the stream is still intact."""
    with pytest.raises(msgspec.ValidationError):
        parse_event(event_line("die", **more))


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [
        ("1.24", "1.12", (1, 24)),
        ("1.41", "1.12", (1, 41)),
        ("1.52", "1.44", (1, 52)),
        ("1.60", "1.44", (1, 52)),
        ("1.60", "1.52", (1, 52)),
        ("2.0", "1.44", (1, 52)),
        ("1.41", "", (1, 41)),
    ],
)
def test_newest_common_version_is_negotiated(newest: str, oldest: str, spoken: tuple[int, int]) -> None:
    """Versions are compared as numbers: 1.9 is older than 1.24."""
    assert negotiate_version(VersionDocument("x", newest, oldest)) == spoken


@pytest.mark.parametrize(
    ("newest", "oldest", "message"),
    [
        ("1.23", "1.12", "speaks API 1.23 at most; 1.24"),
        ("1.9", "1.0", "speaks API 1.9 at most; 1.24"),
        ("1.70", "1.53", "speaks API 1.53 at least; usage-agent knows 1.52"),
    ],
)
def test_engine_without_a_common_version_is_an_error(newest: str, oldest: str, message: str) -> None:
    """The message says whether the engine is too old or too new."""
    with pytest.raises(EngineError, match=message):
        negotiate_version(VersionDocument("x", newest, oldest))


@pytest.mark.parametrize("version", ["", "one", "1", "1.x", "-1.41", "1.41.2", "1." + "9" * 5000, "\u0661.\u0664"])
def test_unreadable_version_is_invalid(version: str) -> None:
    """Text that is no version is an invalid response."""
    with pytest.raises(InvalidResponseError, match="not an API version"):
        negotiate_version(VersionDocument("x", version))


@pytest.mark.parametrize(
    ("path", "status", "body", "kind"),
    [
        ("/v1.41/containers/web/json", 404, b'{"message":"No such container: web"}', NoSuchContainerError),
        (
            "/v1.41/containers/web/stats",
            404,
            b'{"cause":"no such container","message":"no container with name or ID \\"web\\" found"}',
            NoSuchContainerError,
        ),
        ("/v1.41/containers/web/json", 404, b"<html>Not Found</html>", EngineRefusedError),
        ("/v1.41/containers/web/json", 404, b'{"message":"page not found"}', EngineRefusedError),
        ("/v1.41/events", 404, b'{"message":"No such container"}', EngineRefusedError),
        ("/v1.41/containers/web/json", 409, b'{"message":"container web is restarting"}', EngineRefusedError),
        ("/v1.41/containers/web/json", 500, b"", EngineRefusedError),
        ("/v1.41/containers/web/json", 500, b'{"message":"%s"}' % (b"x" * 5000), EngineRefusedError),
        ("/v1.41/containers/web/json", 500, b"x" * 5000, EngineRefusedError),
    ],
)
def test_only_the_engines_404_means_an_unknown_container(
    path: str, status: int, body: bytes, kind: type[EngineRefusedError]
) -> None:
    """The 404 of a proxy in between says nothing about the container."""
    error = error_from_response(path, status, "Reason", body)
    assert type(error) is kind
    assert error.status == status
    assert len(str(error)) < 600
    assert f"{status} Reason" in str(error)
