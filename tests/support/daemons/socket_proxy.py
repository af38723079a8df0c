"""A proxy in front of the engine that forwards the requests of an allowlist, as socket proxies do; listens on TCP.

As a program it takes the options of wollomatic/socket-proxy that deploy/compose.yaml uses.
"""

import argparse
import re
import socket
import socketserver
import threading
from contextlib import suppress
from pathlib import Path
from typing import cast

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class SocketProxy:
    """Proxy for the engine at the socket `engine`; `allowed` is a pattern of the paths of GET requests.

    Method and path of every request are kept: forwarded ones in `passed`, the others in `refused`.
    """

    def __init__(self, engine: Path, allowed: str, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.engine = engine
        self.allowed = re.compile(allowed)
        self.passed: list[str] = []
        self.refused: list[str] = []
        self._server = _Server(address, _Connection)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address, as in `engine.url`."""
        return "tcp://{}:{}".format(*self._server.server_address[:2])

    def allows(self, method: str, path: str) -> bool:
        """Return whether a request is allowed, and keep it in `passed` or `refused`."""
        allowed = method == "GET" and self.allowed.fullmatch(path.partition("?")[0]) is not None
        (self.passed if allowed else self.refused).append(f"{method} {path}")
        return allowed

    def close(self) -> None:
        """Stop listening. Closing twice is fine."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    proxy: SocketProxy


class _Connection(socketserver.StreamRequestHandler):
    """One connection: checks the head of each request, and forwards the engine's answers as they come."""

    def handle(self) -> None:
        proxy = cast(_Server, self.server).proxy
        with socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            engine.connect(str(proxy.engine))
            threading.Thread(target=self._answer, args=(engine,), daemon=True).start()
            while head := self._head():
                method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                if not proxy.allows(method, path):
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


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    for option in ("-socketpath", "-listenip", "-allowfrom", "-allowGET"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    SocketProxy(Path(options.socketpath), options.allowGET, (options.listenip, 2375))
    threading.Event().wait()


if __name__ == "__main__":
    main()
