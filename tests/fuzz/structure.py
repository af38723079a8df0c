"""Seeds from documents of real engines, and a mutator for JSON: random changes of bytes rarely leave valid JSON."""

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuzz.http_answer import CALLS

CORPUS = Path(__file__).parent / "corpus"
RECORDED = Path(__file__).parents[1] / "recorded"

DEEP = "[" * 900 + "]" * 900
VALUES = [
    *("null", "true", "false", "0", "-0", "-1", "1", "0.5", "1e308", "1e999", "[]", "{}", '""', DEEP),
    *("9223372036854775807", "9223372036854775808", "18446744073709551615", "-9223372036854775809", "9" * 30),
    *('"running"', '"/"', '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999999999Z"', '"0000-00-00T00:00:00Z"'),
    *('"\\u0000"', '"\\ud83d\\ude00"', '"\\u202e"', json.dumps("9" * 5000), '"1.41"', json.dumps("\u0661.\u0664")),
]
FRAGMENTS = [  # mostly of HTTP
    *(b"\r\n", b"\r\n\r\n", b"\n", b":", b" ", b"\0", b"\xff", b"0", b"-", b"9" * 30, b"9" * 5000),
    *(b"HTTP/1.0 ", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"200", b"301", b"204", b"404"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"a: b\r\n" * 101),
    *(b"0\r\n\r\n", b"-5\r\n", b"ffffffffffffffffffff\r\n", b"-9223372036854775809\r\n"),
    *(b"Date: Tue, 24 Nov 99999999999 18:41:47 GMT\r\n", b"Location: /\r\n", b"Connection: close\r\n"),
]
EVENT = {
    "Type": "container",
    "Action": "die",
    "Actor": {"ID": "5e" * 32, "Attributes": {"name": "web", "image": "nginx", "exitCode": "137"}},
    "timeNano": 1_795_545_707_683_326_937,
}
VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
STATUS: dict[str, Any] = {
    "status": "running",
    "time": "2026-11-24T18:41:47.683326937Z",
    "container": {"id": "5e" * 32, "name": "web", "image": "nginx"},
    "exit_code": 0,
    "state": "running",
}


def seeds(target: str) -> Iterator[bytes]:
    """Yield the seeds of a target: the found cases, and documents of real engines."""
    for path in sorted((CORPUS / target).glob("*")):
        yield path.read_bytes()
    cases = sorted(path for path in RECORDED.iterdir() if path.is_dir())
    match target:
        case "stats":
            for case in cases:
                yield _compact(case / "first.json") + b"\n" + _compact(case / "second.json")
        case "inspect":
            for case in cases:
                yield _compact(case / "inspect.json")
        case "events":
            yield _json(EVENT) + b"\n" + _json({**EVENT, "Action": "health_status: healthy"}) + b"\n"
        case "answers":
            yield from (_json(VERSION), _json({"CgroupVersion": "2"}), _json([{"Id": "5e" * 32, "State": "running"}]))
            yield _json({"message": "No such container: web"})
        case "ghosts":
            yield b"web/web/status\n" + _json(STATUS)
        case "http":
            yield from _http_answers()


def _http_answers() -> Iterator[bytes]:
    body = _json(VERSION) + b"\n"
    sized = b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 18:41:47 GMT\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    for call in range(len(CALLS)):
        yield from (bytes([call]) + answer for answer in (sized, chunked))
    yield b"\x02HTTP/1.0 404 Not Found\r\n\r\n" + _json({"message": "No such container: web"})


def mutate(data: bytes, size: int, seed: int) -> bytes:
    """Change one value in a line of JSON or, in a third of the calls, plain bytes; the mutator of the fuzzer."""
    chance = random.Random(seed)
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    try:
        document = json.loads(lines[at]) if chance.randrange(3) else None
    except (ValueError, RecursionError):
        document = None
    if document is None:
        return _mutate_bytes(data, chance)[:size]
    with suppress(RecursionError):  # nested too deeply
        lines[at] = _mutate_document(document, chance)
    changed = b"\n".join(lines)
    return changed if len(changed) <= size else data


def _mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with one part removed, doubled, replaced or inserted."""
    begin = chance.randrange(len(data) + 1)
    end = min(len(data), begin + int(chance.paretovariate(0.7)))
    new = chance.choice(
        [b"", data[begin:end] * 2, chance.randbytes(end - begin), chance.randbytes(1), chance.choice(FRAGMENTS)]
    )
    return data[:begin] + new + data[chance.choice([begin, end]) :]


def _mutate_document(document: Any, chance: random.Random) -> bytes:
    """Return the document as bytes with one entry removed or its value replaced."""
    mark = "\0here\0"
    entries = list(_entries(document))
    if not entries:
        return chance.choice(VALUES).encode()
    holder, key = chance.choice(entries)
    value = holder[key]
    match chance.randrange(6):
        case 0:
            del holder[key]
            return _json(document)
        case 1:
            other, where = chance.choice(entries)
            holder[key] = json.loads(_json(other[where]))
            return _json(document)
        case 2 if type(value) is int:
            holder[key] = value + chance.choice([-1, 1, -value, 10**9, -(10**9), value, 1 << chance.randrange(70)])
            return _json(document)
        case 3 if isinstance(value, str):
            holder[key] = _mutate_bytes(value.encode(errors="replace"), chance).decode(errors="replace")
            return _json(document)
    holder[key] = mark
    return _json(document).replace(_json(mark), chance.choice(VALUES).encode())


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from _entries(inner)


def _compact(path: Path) -> bytes:
    return _json(json.loads(path.read_bytes()))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
