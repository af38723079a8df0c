"""Bytes as an answer of HTTP: a server that says them, whatever they are, and an engine of ours that asks it."""

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

TIMEOUT = 2.0  # seconds; the server hangs up after what it had to say, so that nobody waits
LONG = 10_000  # more documents than any answer of ours has

CALLS: tuple[Callable[[EngineClient], object], ...] = (
    lambda engine: engine.connect(),
    lambda engine: engine.list_containers(),
    lambda engine: engine.inspect("c0ffee"),
    lambda engine: engine.stats_once("c0ffee", CancelToken()),
    lambda engine: _all(engine.stats_stream("c0ffee", CancelToken())),
    lambda engine: _all(engine.events(None, CancelToken())),
)


def ask_everything(data: bytes) -> None:
    """Give the bytes in answer to one of the calls, which the first byte chooses: an EngineError is all that comes."""
    server, engine = _pair()
    server.says = data[1:]
    with suppress(EngineError, CancelledError):
        CALLS[data[0] % len(CALLS) if data else 0](engine)


def _all(things: Generator[object, None, None]) -> None:
    with closing(things) as coming:
        for number, _ in enumerate(coming):
            assert number < LONG, "an answer that has ended goes on"


class _Server:
    """Says `says` to everybody who asks, and hangs up."""

    def __init__(self, path: str) -> None:
        self.says = b""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._listening.accept()[0] as client, suppress(OSError):
                client.recv(1 << 16)
                client.sendall(self.says)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):  # until the other side hangs up: nothing it wants to say fails
                    pass


@cache
def _pair() -> tuple[_Server, EngineClient]:
    path = str(Path(tempfile.mkdtemp(prefix="ua-fuzz-")) / "s")
    server = _Server(path)
    server.says = _ok(b'{"Version":"20.10","ApiVersion":"1.41"}')
    engine = EngineClient(EngineSettings(url=f"unix://{path}", timeout=TIMEOUT))
    engine.connect()
    return server, engine


def _ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
