"""Arbitrary bytes as an HTTP response: a server that sends them, and the agent's engine client that receives them."""

import socket
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from agent.config import EngineSettings
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError
from agent.runtime.cancel import CancelledError, CancelToken

TIMEOUT_SECONDS = 2.0  # not reached: the server closes the connection after its response
MAX_DOCUMENTS = 10_000  # more than any input can contain

CALLS: tuple[Callable[[EngineClient], object], ...] = (
    lambda engine: engine.connect(),
    lambda engine: engine.list_containers(),
    lambda engine: engine.inspect("c0ffee"),
    lambda engine: engine.stats_once("c0ffee", CancelToken()),
    lambda engine: _read_all(engine.stats_stream("c0ffee", CancelToken())),
    lambda engine: _read_all(engine.events(None, CancelToken())),
)


def call_engine(data: bytes) -> None:
    """Send the bytes as the response to one call, selected by the first byte; only EngineError may be raised."""
    server, engine = _server_and_client()
    server.response = data[1:]
    with suppress(EngineError, CancelledError):
        CALLS[data[0] % len(CALLS) if data else 0](engine)


def _read_all(things: Generator[object, None, None]) -> None:
    with closing(things) as coming:
        for number, _ in enumerate(coming):
            assert number < MAX_DOCUMENTS, "more documents than the response can contain"


class _Server:
    """Server that sends `response` to every client and closes the connection."""

    def __init__(self, path: str) -> None:
        self.response = b""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._listening.accept()[0] as client, suppress(OSError):
                client.recv(1 << 16)
                client.sendall(self.response)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):  # until the client closes: its requests must not fail
                    pass


@cache
def _server_and_client() -> tuple[_Server, EngineClient]:
    path = str(Path(tempfile.mkdtemp(prefix="ua-fuzz-")) / "s")
    server = _Server(path)
    server.response = _ok_response(b'{"Version":"20.10","ApiVersion":"1.41"}')
    engine = EngineClient(EngineSettings(url=f"unix://{path}", timeout=TIMEOUT_SECONDS))
    engine.connect()
    return server, engine


def _ok_response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
