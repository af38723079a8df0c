"""HTTP over a unix socket: one pool of connections for all paths.

docker-py's own adapter keeps a pool for each of the last 25 URLs and closes the others, even one that a thread has just
got, and leaves the socket of a connection that failed to whoever collects the error.
"""

import socket
from collections.abc import Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter


class _Connection(urllib3.connection.HTTPConnection):
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


class UnixAdapter(HTTPAdapter):
    """Carries requests for any URL to the socket at `path`, and keeps `connections` of them for later."""

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
