"""Requests to the fake engine, and answers that tests can script: late, broken, truncated, or none at all."""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `route` is the path without the API version and with `{id}` in place of a container's id."""

    method: str
    route: str
    version: str
    id: str
    query: Mapping[str, str]

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean parameter of the query."""
        return self.query[name].lower() in ("1", "true") if name in self.query else default


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request: a body or chunks, or a failure.

    Attributes:
        chunks: sent one after the other instead of `body`.
        delay: seconds before anything is sent.
        truncated: close the connection before the announced end.
        silent: never send anything.
        hang_up: close the connection without sending anything.
        raw: bytes to send instead of an HTTP response.
    """

    status: int = 200
    body: bytes = b""
    chunks: Iterable[bytes] | None = None
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    truncated: bool = False
    silent: bool = False
    hang_up: bool = False
    raw: Iterable[bytes] | None = None

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """Return this answer with additional headers."""
        return dataclasses.replace(self, headers={**headers, **self.headers})


def json_answer(document: Any, status: int = 200) -> Answer:
    """Return an answer with a JSON document."""
    return Answer(status, json.dumps(document).encode() + b"\n", content_type="application/json")


@dataclass
class Script:
    """Answers a request whose route matches `pattern`, `times` times (None: until removed)."""

    pattern: str
    answer: Answer
    times: int | None = None
    used: int = 0

    def take(self, route: str) -> Answer | None:
        """Return the answer if the script matches `route` and is not used up."""
        if re.fullmatch(self.pattern, route) is None or (self.times is not None and self.used >= self.times):
            return None
        self.used += 1
        return self.answer


def parse(method: str, target: str) -> Request:
    """Parse the method and target of an HTTP request line."""
    parts = urlsplit(target)
    matched = re.fullmatch(r"(?:/v(?P<version>\d+\.\d+))?(?P<path>/.*)", parts.path)
    assert matched is not None, f"not a path: {target}"
    path = matched["path"]
    container = re.fullmatch(r"/containers/(?P<id>[^/]+)/(?P<what>json|stats)", path)
    route = f"/containers/{{id}}/{container['what']}" if container else path
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(method, route, matched["version"] or "", container["id"] if container else "", query)
