"""Options and probes of sockets that other modules own."""

import os
import select
import socket

# Sent bytes may stay unacknowledged for so long (tcp(7), TCP_USER_TIMEOUT). A cut network is noticed after 4.5 s
# instead of 23 s.
USER_TIMEOUT_MS = 4000


def set_tcp_options(fd: int) -> None:
    """Set the options of a TCP socket; other sockets are left alone.

    Works on a duplicate of the descriptor, because the owner may have wrapped the socket in TLS.
    """
    with socket.socket(fileno=os.dup(fd)) as sock:
        if sock.family == socket.AF_UNIX:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a burst waits 40 ms for a delayed ACK
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


def probe_unix_socket(path: str) -> None:
    """Connect to a unix socket and close the connection.

    Raises:
        BlockingIOError: The listener's queue is full, because it accepts no connections. A blocking connect() would
            wait there for ever: it has no timeout.
        OSError: The socket cannot be connected to.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect(path)


def wait_writable(fd: int, seconds: float) -> None:
    """Wait until a socket accepts output, at most so many seconds."""
    writable = select.poll()
    writable.register(fd, select.POLLOUT)
    writable.poll(1000 * seconds)
