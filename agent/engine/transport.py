"""HTTP over a unix socket or TCP, for `requests`, with a deadline for every read.

http.client applies its timeout to each piece of a response that arrives. A status line that comes one byte a second, or
trailers without an end, would keep a thread for hours. Here the whole head, and each read of the body, is over within
the timeout.

    requests.Session → UnixAdapter, TcpAdapter → pool → connection → _DeadlineResponse → _DeadlineReader → socket
"""

import http.client
import io
import math
import socket
import time
from collections.abc import Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter


class _DeadlineReader(io.RawIOBase):
    """The bytes of a socket, until `deadline` (monotonic seconds)."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self.deadline = math.inf
        self._raw = raw

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has arrived, as `io.RawIOBase.readinto`. Raises TimeoutError after the deadline."""
        count = self._raw.readinto(buffer)
        if time.monotonic() > self.deadline:
            raise TimeoutError("timed out")
        return count

    def close(self) -> None:
        """Close the socket's file."""
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """A response. The head, and each single read of the body, ends within the socket's timeout."""

    def __init__(self, sock: socket.socket, *arguments: Any, **keywords: Any) -> None:
        super().__init__(sock, *arguments, **keywords)
        self._timeout = sock.gettimeout()
        self._bytes = _DeadlineReader(self.fp.detach())
        self.fp = io.BufferedReader(self._bytes)

    def begin(self) -> None:
        """Read status line and headers."""
        self._restart_deadline()
        super().begin()
        # urllib3 would refuse this, too, but leave the socket open until the garbage collector finds it.
        if len({length.strip() for length in self.headers.get("Content-Length", "").split(",")}) > 1:
            raise http.client.HTTPException("an answer of more than one length")

    def read1(self, n: int = -1) -> bytes:
        """Read a piece of the body."""
        self._restart_deadline()
        return super().read1(n)

    def _restart_deadline(self) -> None:
        self._bytes.deadline = math.inf if self._timeout is None else time.monotonic() + self._timeout


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = _DeadlineResponse


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = _DeadlineResponse


class _UnixConnection(_HttpConnection):
    """A connection to the socket at `path`."""

    def __init__(self, *arguments: Any, path: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket within the timeout."""
        unix_socket = socket.socket(socket.AF_UNIX)
        try:
            unix_socket.settimeout(self.timeout)
            unix_socket.connect(self._path)
        except BaseException:
            unix_socket.close()
            raise
        self.sock = unix_socket


class _UnixPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _UnixConnection


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class TcpAdapter(HTTPAdapter):
    """Sends requests over TCP, with or without TLS; keeps up to `max_idle` idle connections per host."""

    def __init__(self, max_idle: int) -> None:
        super().__init__(pool_maxsize=max_idle)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class UnixAdapter(HTTPAdapter):
    """Sends requests for any URL to the socket at `path`; keeps up to `max_idle` idle connections.

    One pool serves all URLs. docker-py's own adapter has a pool for each of the last 25 URLs. It closes older pools,
    even one that a thread has just taken. It also leaves the socket of a failed connection to the garbage collector.
    """

    def __init__(self, path: str, max_idle: int) -> None:
        super().__init__()
        self._pool = _UnixPool("localhost", maxsize=max_idle, path=path)

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,  # noqa: ARG002 - one pool serves all
        verify: bool | str | None,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
        cert: tuple[str, str] | str | None = None,  # noqa: ARG002
    ) -> urllib3.HTTPConnectionPool:
        """Return the pool for a request."""
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None) -> str:  # noqa: ARG002
        """Return the target in the request line."""
        return request.path_url

    def close(self) -> None:
        """Close the idle connections; a connection in use is closed when it is given back."""
        super().close()
        self._pool.close()
