"""HTTP over a unix socket, or TCP, in time.

http.client gives each piece of an answer that arrives the timeout anew: a status line that comes a byte a second, or
trailers without an end, would keep a thread for hours. Here a read of any kind is over within the timeout.
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
    """A socket's bytes, until `deadline` (monotonic)."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self.deadline = math.inf
        self._raw = raw

    def readable(self) -> bool:
        """Say that there is something to read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what there is."""
        count = self._raw.readinto(buffer)
        if time.monotonic() > self.deadline:
            raise TimeoutError("timed out")
        return count

    def close(self) -> None:
        """Close the socket's file."""
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """An answer whose beginning, and each piece of whose body, is there within the socket's timeout."""

    def __init__(self, sock: socket.socket, *arguments: Any, **keywords: Any) -> None:
        super().__init__(sock, *arguments, **keywords)
        self._within = sock.gettimeout()
        self._bytes = _DeadlineReader(self.fp.detach())
        self.fp = io.BufferedReader(self._bytes)

    def begin(self) -> None:
        """Read status line and headers."""
        self._restart_deadline()
        super().begin()
        # urllib3 would refuse this too, and leave the socket open until somebody collects it.
        if len({length.strip() for length in self.headers.get("Content-Length", "").split(",")}) > 1:
            raise http.client.HTTPException("an answer of more than one length")

    def read1(self, n: int = -1) -> bytes:
        """Read a piece of the body."""
        self._restart_deadline()
        return super().read1(n)

    def _restart_deadline(self) -> None:
        self._bytes.deadline = math.inf if self._within is None else time.monotonic() + self._within


class _Plain(urllib3.connection.HTTPConnection):
    response_class = _DeadlineResponse


class _Secure(urllib3.connection.HTTPSConnection):
    response_class = _DeadlineResponse


class _Connection(_Plain):
    """A connection to the socket at `path`."""

    def __init__(self, *arguments: Any, path: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        connecting = socket.socket(socket.AF_UNIX)
        try:
            connecting.settimeout(self.timeout)
            connecting.connect(self._path)
        except BaseException:
            connecting.close()
            raise
        self.sock = connecting


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


class TcpAdapter(HTTPAdapter):
    """Carries requests over TCP, with TLS or without, and keeps `connections` of each host for later."""

    def __init__(self, connections: int) -> None:
        super().__init__(pool_maxsize=connections)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


class UnixAdapter(HTTPAdapter):
    """Carries requests for any URL to the socket at `path`, and keeps `connections` of them for later.

    One pool for all paths: docker-py's own adapter keeps a pool for each of the last 25 URLs and closes the others,
    even one that a thread has just got, and leaves the socket of a failed connection to whoever collects the error.
    """

    def __init__(self, path: str, connections: int) -> None:
        super().__init__()
        self._pool = _Pool("localhost", maxsize=connections, path=path)

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,  # noqa: ARG002 - all go the same way
        verify: bool | str | None,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
        cert: tuple[str, str] | str | None = None,  # noqa: ARG002
    ) -> urllib3.HTTPConnectionPool:
        """Return the pool."""
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None) -> str:  # noqa: ARG002
        """Return what stands in the request's first line."""
        return request.path_url

    def close(self) -> None:
        """Close the connections that nobody uses; one in use is closed after that."""
        super().close()
        self._pool.close()
