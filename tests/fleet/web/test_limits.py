"""What one browser, or one that is none, can take from the others."""

import re
import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from support.daemons.processes import PATIENCE, wait_until

from agent.fleet.web.connections import MAX_CONNECTIONS
from fleet.conftest import Agents
from fleet.web.conftest import Page

StartPage = Callable[..., Page]

LONG_NAMES = [f"{number:03}{'x' * 900}" for number in range(150)]  # half a megabyte for each update


@pytest.mark.slow
def test_a_viewer_that_does_not_read_is_dropped_and_the_others_are_not_kept_waiting(
    page: StartPage, agents: Agents
) -> None:
    """What it does not read is not kept for it."""
    shown = page()
    host = agents.host("pi")
    viewer = shown.stream()
    with shown.open_socket(receive_bytes=4096) as slow:
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert slow.recv(12) == b"HTTP/1.1 200"
        dropped = "does not read what it is sent"
        for seq in range(1, 200):
            agents.send(*(host.usage(name, seq) for name in LONG_NAMES))
            viewer.event()  # once a second
            if dropped in shown.process.log:
                break
        shown.process.wait_for_line(dropped)
        assert viewer.event()[0] == "update"
        viewer.close()
        wait_until(lambda: _is_reset(slow), PATIENCE, "the connection has not ended")


def _is_reset(connection: socket.socket) -> bool:
    try:
        return connection.recv(1 << 20) == b""
    except ConnectionResetError:
        return True


@pytest.mark.slow
def test_connections_that_ask_for_nothing_do_not_keep_others_out_for_long(page: StartPage) -> None:
    """Neither if they say nothing at all nor if they never end their request."""
    shown = page()
    with ExitStack() as stack:
        for number in range(MAX_CONNECTIONS):
            idle = stack.enter_context(shown.open_socket())
            if number % 2:
                idle.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert shown.request("/healthz").status == 503
        wait_until(lambda: shown.request("/healthz").status == 200, PATIENCE, "idle connections are kept")


def test_a_request_that_is_too_long_or_is_none_is_refused(page: StartPage) -> None:
    """Without filling the log."""
    shown = page()
    for request in (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b"\x16\x03\x01\r\n\r\n", b"GET  HTTP\r\n\r\n"):
        with shown.open_socket() as raw:
            raw.sendall(request)
            assert re.match(rb"HTTP/1.1 4\d\d ", raw.recv(100))
    assert shown.request("/healthz").status == 200
    assert "Invalid" not in shown.process.log
