"""Responses of an engine that cannot be used, of all kinds."""

from collections.abc import Iterator

from support.fakes.engine import Answer
from support.fakes.http import json_answer

EVENTS, LIST, INSPECT, STATS = "/events", "/containers/json", "/containers/{id}/json", "/containers/{id}/stats"
OK = b"HTTP/1.1 200 OK\r\n"
DEEP = b"[" * 1000 + b"]" * 1000
MANY = 64 << 10  # bytes


def endless(piece: bytes) -> Iterator[bytes]:
    """Send the same bytes for ever, as fast as they are read."""
    while True:
        yield piece


def rubbish() -> dict[str, Answer]:
    """Return new responses of all kinds that cannot be used."""
    return {
        "500": json_answer({"message": "something is on fire"}, 500),
        "404": json_answer({"message": "page not found"}, 404),
        "409": json_answer({"message": "is restarting"}, 409),
        "a long 500": Answer(500, b'{"message":"' + b"x" * 100_000 + b'"}'),
        "a redirect": Answer(302, headers={"Location": "/_ping"}),
        "a page": Answer(body=b"<html><h1>It works!</h1></html>\n", content_type="text/html"),
        "nothing": Answer(),
        "half a document": Answer(body=b'{"Id":"', truncated=True),
        "half a chunk": Answer(raw=[OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}\n"]),
        "an impossible chunk": Answer(raw=[OK + b"Transfer-Encoding: chunked\r\n\r\n-9223372036854775809\r\n{}\n"]),
        "a wrong length": Answer(raw=[OK + b"Content-Length: 3\r\n\r\n{}\n{}\n"]),
        "no end of it": Answer(chunks=endless(b"x" * MANY)),
        "no end of lines": Answer(chunks=endless(b"\n" * MANY)),
        "no HTTP": Answer(raw=[b"SSH-2.0-OpenSSH_9.2\r\n"]),
        "null": Answer(body=b"null\n"),
        "a text": Answer(body=b'"running"\n'),
        "numbers": Answer(body=b"[1, 2, 3]\n"),
        "another object": Answer(body=b'{"Type":"container","Id":1,"State":"running","read":7,"Version":1}\n'),
        "brackets": Answer(body=DEEP + b"\n"),
        "a deep object": Answer(body=b'{"Id":%s,"read":"2026-11-24T18:41:47Z","cpu_stats":%s}\n' % (DEEP, DEEP)),
    }
