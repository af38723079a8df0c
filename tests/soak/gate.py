"""TCP proxy between the agent and the broker.

After a restart of the broker the gate stays shut until the recorder is connected again: the recorder could never
receive a message that the broker accepted before. A connection can be cut while both ends keep running.
"""

import contextlib
import socket
import threading


class Gate:
    """Proxy from its own port to another port of the loopback address."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        """Accept connections."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections, as a port without a listener does. Open connections stay."""
        if self._listener is not None:
            _end(self._listener)  # close() alone would leave accept() waiting
            self._listener.close()
            self._listener = None

    def cut(self) -> None:
        """Cut all open connections, at whatever byte they are."""
        with self._lock:
            for connection in self._open:
                _end(connection)

    def close(self) -> None:
        """Refuse new connections and cut the open ones. Closing twice is fine."""
        self.shut()
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                outer, _ = listener.accept()
                try:
                    inner = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    outer.close()
                    continue
                with self._lock:
                    self._open |= {outer, inner}
                threading.Thread(target=self._serve, args=(outer, inner), daemon=True).start()

    def _serve(self, outer: socket.socket, inner: socket.socket) -> None:
        """Forward both directions until both have ended."""
        back = threading.Thread(target=_pump, args=(inner, outer), daemon=True)
        back.start()
        _pump(outer, inner)
        back.join()
        with self._lock:
            self._open -= {outer, inner}
        outer.close()
        inner.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Forward one direction, and end both sockets once all received data have been sent."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    _end(source)
    _end(sink)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
