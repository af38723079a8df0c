"""However a response is framed, or claims to be: the client returns its document, or raises an EngineError."""

import pytest
from support.engine_client import connected
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer

from agent.engine.errors import EngineError, EngineRefusedError, EngineUnreachableError, InvalidResponseError
from engine.calls import ANY_ROUTE

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DOCUMENT = b'{"Id":"c0ffee"}\n'


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + DOCUMENT,
        OK + b"Content-Length: many\r\n\r\n" + DOCUMENT,
        CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(DOCUMENT), DOCUMENT),
        OK + b"Date: Tue, 24 Nov 99999999999 18:41:47 GMT\r\n\r\n" + DOCUMENT,
    ],
    ids=["until the end", "invalid length", "chunked", "impossible date"],
)
def test_document_is_read_in_every_frame(fake_engine: FakeEngine, raw: bytes) -> None:
    """HTTP/1.0 and chunked bodies are read, and headers that are not needed may be invalid."""
    engine = connected(fake_engine.url)
    fake_engine.script(ANY_ROUTE, Answer(raw=[raw]))
    assert engine.inspect("c0ffee") == {"Id": "c0ffee"}


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (OK + b"Content-Length: 5\r\n\r\n" + DOCUMENT, InvalidResponseError),
        (OK + b"Content-Length: 3000000000\r\n\r\n" + DOCUMENT, EngineUnreachableError),
        (OK + b"Content-Length: 5, 6\r\n\r\n" + DOCUMENT, EngineUnreachableError),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", InvalidResponseError),
        (CHUNKED + b"ff\r\n" + DOCUMENT, EngineUnreachableError),
        (CHUNKED + b"5\r\n" + DOCUMENT, EngineUnreachableError),
        (CHUNKED + b"many\r\n" + DOCUMENT, EngineUnreachableError),
        (CHUNKED + b"-9223372036854775809\r\n" + DOCUMENT, InvalidResponseError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", EngineUnreachableError),
        (DOCUMENT, EngineUnreachableError),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", EngineRefusedError),
        (b"HTTP/1.1 204 No Content\r\n\r\n", EngineRefusedError),
    ],
    ids=[
        "length too small",
        "length too large",
        "two lengths",
        "gzip",
        "chunk too short",
        "chunk too long",
        "no chunk size",
        "negative chunk size",
        "ssh",
        "no HTTP",
        "101",
        "204",
    ],
)
def test_invalid_frame_is_an_engine_error(fake_engine: FakeEngine, raw: bytes, kind: type[EngineError]) -> None:
    """A broken frame is a broken connection; a document cut to the announced length is an invalid response."""
    engine = connected(fake_engine.url)
    fake_engine.script(ANY_ROUTE, Answer(raw=[raw]))
    with pytest.raises(EngineError) as raised:
        engine.inspect("c0ffee")
    assert type(raised.value) is kind
