"""An HTTP/1.1 server on a unix socket whose answers a test can script, and which it can break and freeze."""

import contextlib
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from support.fakes.http import Answer, Request, Script, parse


class FakeServer:
    """A server that a test starts, stops (connections break, new ones are refused), freezes, thaws and closes."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.ending = threading.Event()
        self.going = threading.Event()
        self.going.set()
        self.requests: Counter[str] = Counter()
        self._scripts: list[Script] = []
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address, as in DOCKER_HOST."""
        return f"unix://{self.socket}"

    def respond(self, request: Request) -> Answer:
        """Return the answer to a request that no script matches."""
        raise NotImplementedError

    def script(self, pattern: str, answer: Answer, times: int | None = None) -> Script:
        """Give this answer to requests whose route (`/containers/{id}/stats`) matches; the newest script wins."""
        script = Script(pattern, answer, times)
        with self._lock:
            self._scripts.insert(0, script)
        return script

    def behave(self) -> None:
        """Remove all scripts."""
        with self._lock:
            self._scripts.clear()

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request, from a script if one matches."""
        with self._lock:
            self.requests[request.route] += 1
            for script in self._scripts:
                if (answer := script.take(request.route)) is not None:
                    return answer
        return self.respond(request)

    def start(self) -> None:
        """Listen on the socket."""
        assert self._server is None, "runs already"
        self.ending = threading.Event()
        self.socket.unlink(missing_ok=True)
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="fake engine")
        self._thread.start()

    def stop(self) -> None:
        """Break all connections and refuse new ones, as an engine that was killed."""
        if self._server is not None and self._thread is not None:
            self.ending.set()
            self.going.set()
            self._server.shutdown()
            self._thread.join()
            self._server.break_connections()
            self._server.server_close()
            self.socket.unlink(missing_ok=True)
            self._server = self._thread = None

    def restart(self) -> None:
        """Stop and start again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Accept connections, but send nothing more, as a stopped process."""
        self.going.clear()

    def thaw(self) -> None:
        """Send what was held back, and continue."""
        self.going.set()

    def close(self) -> None:
        """Stop. A second time does nothing."""
        self.thaw()
        self.stop()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._server.connections) if self._server is not None else 0


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake
        self.ending = fake.ending  # of this start: the next one has its own
        self.connections: set[socket.socket] = set()
        super().__init__(str(fake.socket), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: clients may hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer a request."""
        fake, ending = self.server.fake, self.server.ending
        answer = fake.answer(parse(self.command, self.path))
        ending.wait(answer.delay)
        if answer.silent:
            ending.wait()
        fake.going.wait()
        if answer.hang_up or ending.is_set():
            self.close_connection = True
            return
        if answer.raw is None:
            self._send(answer)
        else:
            self._send_raw(answer.raw)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.content_type)
        if answer.chunks is not None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._send_chunks(answer.chunks, answer.truncated)
            return
        self.send_header("Content-Length", str(len(answer.body) + (100 if answer.truncated else 0)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.close_connection = self.close_connection or answer.truncated

    def _send_raw(self, pieces: Iterable[bytes]) -> None:
        """Send bytes that may be no HTTP at all, until they end or the client hangs up; then close the connection."""
        self.close_connection = True
        with contextlib.closing(_closable(pieces)) as open_pieces:
            for piece in open_pieces:
                if self.server.ending.is_set() or self._client_has_left():
                    return
                self.wfile.write(piece)

    def _send_chunks(self, chunks: Iterable[bytes], truncated: bool) -> None:
        self.close_connection = True
        with contextlib.closing(_closable(chunks)) as open_chunks:
            for chunk in open_chunks:
                self.server.fake.going.wait()
                if self.server.ending.is_set() or self._client_has_left():
                    return
                if chunk:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if not truncated:
            self.wfile.write(b"0\r\n\r\n")
            self.close_connection = False

    def _client_has_left(self) -> bool:
        """Return whether the client hung up."""
        try:
            received: bytes = self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return received == b""


def _closable(chunks: Iterable[bytes]) -> Any:
    def each() -> Iterator[bytes]:
        yield from chunks

    return each()
