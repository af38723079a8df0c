"""What the engine's answers mean."""

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
def test_lines_wherever_the_chunks_are_cut(documents: list[bytes], cuts: list[int]) -> None:
    """Documents come out whole, whether a chunk holds a part of one or many."""
    whole = b"".join(document + b"\n" for document in documents)
    edges = sorted({0, *(min(cut, len(whole)) for cut in cuts), len(whole)})
    chunks = [whole[begin:end] for begin, end in pairwise(edges)]
    assert b"".join(chunks) == whole
    assert list(split_lines(chunks)) == [document for document in documents if document.strip()]


def test_lines_leave_at_once() -> None:
    """A document is passed on when its newline has come, not when the next one begins."""
    chunks = iter([b'{"a":1}', b"\n", b'{"b"'])
    assert next(split_lines(chunks)) == b'{"a":1}'
    assert next(chunks) == b'{"b"'


def test_torn_line() -> None:
    """A stream that ends within a document broke off, however politely."""
    torn = split_lines([b'{"a":1}\n{"b"'])
    assert next(torn) == b'{"a":1}'
    with pytest.raises(EngineUnreachableError, match="in the middle of a document"):
        next(torn)


def test_endless_line() -> None:
    """A line that does not end fills no memory."""
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
def test_rubbish(raw: bytes) -> None:
    """What is no JSON object is rubbish, and the error shows its beginning but never all of it."""
    with pytest.raises(InvalidResponseError) as raised:
        decode(raw, dict[str, object])
    assert len(str(raised.value)) < 400


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_rubbish(raw: bytes) -> None:
    """No bytes at all raise anything else."""
    with suppress(InvalidResponseError):
        assert isinstance(decode(raw, dict[str, object]), dict)


def described(action: str, **more: Any) -> bytes:
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
def test_event_of_every_version(more: dict[str, Any]) -> None:
    """Only what all versions have is read."""
    event = parse_event(described("die", **more))
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
def test_action_and_detail(written: str, action: str, detail: str) -> None:
    """What follows the first colon is a detail of the action."""
    event = parse_event(described(written))
    assert event is not None
    assert (event.action, event.detail) == (action, detail)


def test_events_of_other_things() -> None:
    """Networks, images and volumes are not our business, whatever their events look like."""
    assert parse_event(b'{"Type":"network","Action":"connect"}') is None
    assert parse_event(b"{}") is None


def test_event_of_no_container() -> None:
    """`docker container prune` is an event of type container, and of none in particular."""
    assert parse_event(described("prune", Actor={"ID": "", "Attributes": {"reclaimed": "0"}})) is None


@pytest.mark.parametrize(("written", "code"), [("0", 0), ("137", 137), ("", None), ("-1", None), ("9" * 5000, None)])
def test_exit_code(written: str, code: int | None) -> None:
    """What is no exit code is none that is known; more digits than Python reads are no error either."""
    event = parse_event(described("die", Actor={"ID": ID, "Attributes": {"exitCode": written}}))
    assert event is not None
    assert event.exit_code == code


def test_event_without_attributes() -> None:
    """An engine that says no more than the id is understood."""
    event = parse_event(described("die", Actor={"ID": ID, "Attributes": None}))
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
def test_event_of_another_shape(more: dict[str, Any]) -> None:
    """It is told from rubbish: the stream is still good."""
    with pytest.raises(msgspec.ValidationError):
        parse_event(described("die", **more))


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
def test_agreed_version(newest: str, oldest: str, spoken: tuple[int, int]) -> None:
    """The newest version that both know; 1.9 would be older than 1.24."""
    assert negotiate_version(VersionDocument("x", newest, oldest)) == spoken


@pytest.mark.parametrize(
    ("newest", "oldest", "message"),
    [
        ("1.23", "1.12", "speaks API 1.23 at most; 1.24"),
        ("1.9", "1.0", "speaks API 1.9 at most; 1.24"),
        ("1.70", "1.53", "speaks API 1.53 at least; usage-agent knows 1.52"),
    ],
)
def test_no_version_in_common(newest: str, oldest: str, message: str) -> None:
    """An engine that is too old or too new is refused, and told from one that is broken."""
    with pytest.raises(EngineError, match=message):
        negotiate_version(VersionDocument("x", newest, oldest))


@pytest.mark.parametrize("version", ["", "one", "1", "1.x", "-1.41", "1.41.2", "1." + "9" * 5000, "\u0661.\u0664"])
def test_version_that_is_none(version: str) -> None:
    """A version nobody can read is rubbish."""
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
def test_refusals(path: str, status: int, body: bytes, kind: type[EngineRefusedError]) -> None:
    """A container is unknown when the engine itself says so: the 404 of a proxy on the way says nothing about it."""
    error = error_from_response(path, status, "Reason", body)
    assert type(error) is kind
    assert error.status == status
    assert len(str(error)) < 600
    assert f"{status} Reason" in str(error)
