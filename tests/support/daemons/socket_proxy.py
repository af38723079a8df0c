"""A proxy before the engine that lets through what its allowlist says, as socket proxies do: a real one, on TCP."""

import re
import socket
import socketserver
import threading
from contextlib import suppress
from pathlib import Path
from typing import cast

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class SocketProxy:
    """Listens on 127.0.0.1 for the engine at the socket `engine`; `allowed` is a pattern for the paths of GETs.

    Every request is kept, those let through in `passed` and the others in `refused`: method and path.
    """

    def __init__(self, engine: Path, allowed: str) -> None:
        self.engine = engine
        self.allowed = re.compile(allowed)
        self.passed: list[str] = []
        self.refused: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Visit)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address, as in `engine.url`."""
        return "tcp://{}:{}".format(*self._server.server_address[:2])

    def lets(self, method: str, path: str) -> bool:
        """Say whether a request may pass, and remember it."""
        fits = method == "GET" and self.allowed.fullmatch(path.partition("?")[0]) is not None
        (self.passed if fits else self.refused).append(f"{method} {path}")
        return fits

    def close(self) -> None:
        """Listen no more. Closing twice is fine."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    proxy: SocketProxy


class _Visit(socketserver.StreamRequestHandler):
    """One connection: each request's head is judged; what the engine answers goes back as it comes."""

    def handle(self) -> None:
        proxy = cast(_Server, self.server).proxy
        with socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            engine.connect(str(proxy.engine))
            threading.Thread(target=self._answer, args=(engine,), daemon=True).start()
            while head := self._head():
                method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                if not proxy.lets(method, path):
                    self.wfile.write(FORBIDDEN)
                    break
                engine.sendall(head)
            with suppress(OSError):
                engine.shutdown(socket.SHUT_RDWR)

    def _head(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            lines.append(line)
        return b"".join([*lines, b"\r\n"]) if lines else b""

    def _answer(self, engine: socket.socket) -> None:
        with suppress(OSError):
            while data := engine.recv(65536):
                self.wfile.write(data)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
