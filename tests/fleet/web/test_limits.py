"""What one browser, or one that is none, can take from the others."""

import re
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.daemons.processes import PATIENCE, wait_until

from agent.fleet.web.broadcast import MAX_VIEWERS
from agent.fleet.web.connections import MAX_CONNECTIONS, MAX_REFUSED
from agent.fleet.web.guard import WRONG_PASSWORD_SECONDS
from fleet.conftest import Agents
from fleet.web.conftest import Page, authorization, password_file

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


def test_the_number_of_viewers_is_limited(page: StartPage) -> None:
    """One too many is told so; when another one leaves, there is room again."""
    shown = page()
    viewers = [shown.stream() for _ in range(MAX_VIEWERS)]
    assert {viewer.status for viewer in viewers} == {200}
    refused = shown.request("/events")
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0
    viewers.pop().close()
    wait_until(lambda: shown.request("/events", "HEAD").status == 200, PATIENCE, "there is no room again")
    for viewer in viewers:
        viewer.close()


def test_many_connections_at_once_take_a_limited_number_of_descriptors(page: StartPage) -> None:
    """The viewers that are there already, and the connection to the broker, go on."""
    shown = page()
    viewer = shown.stream()
    wanted, kept = 500, MAX_CONNECTIONS + MAX_REFUSED
    with ExitStack() as stack:
        idle = [stack.enter_context(shown.open_socket()) for _ in range(wanted)]
        waiting = select.poll()
        for one in idle:
            waiting.register(one, select.POLLIN)
        wait_until(lambda: len(waiting.poll(0)) >= wanted - kept, PATIENCE, "all connections are kept")
        assert shown.process.fds() < kept + 50
        viewer.event()
        assert viewer.event()[1]["connected"] is True
    viewer.close()
    wait_until(lambda: shown.request("/healthz").status == 200, PATIENCE, "it does not answer any more")


def test_passwords_cannot_be_tried_quickly(page: StartPage, short_path: Path) -> None:
    """A wrong one is answered late. Whoever knows it does not wait for those."""
    shown = page(password_file=password_file(short_path))
    began = time.monotonic()
    assert shown.request("/", headers=authorization("wrong")).status == 401
    assert time.monotonic() - began >= WRONG_PASSWORD_SECONDS
    with ExitStack() as stack:
        trying = [stack.enter_context(shown.open_socket()) for _ in range(50)]
        wrong = f"Authorization: {authorization('wrong')['Authorization']}"
        for one in trying:
            one.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\n{wrong}\r\n\r\n".encode())
        assert shown.request("/", headers=authorization()).status == 200
        assert all(one.recv(12) == b"HTTP/1.1 401" for one in trying)


HOST = b"Host: localhost\r\n"
STRANGE = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + HOST + b"Host: evil\r\n\r\n", 400),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", 200),
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\n\r\n", 421),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
    "for a proxy": (b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "CONNECT": (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "another protocol": (
        b"GET /events HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        200,
    ),
    "NUL": (b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "encoded NUL": (b"GET /%00%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "query of rubbish": (
        b"GET /api/history?host=%ff%00&host=%&container=../..&&=&% HTTP/1.1\r\n" + HOST + b"\r\n",
        404,
    ),
    "length of rubbish": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
    "two lengths": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "a body": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 100_000, 200),
    "chunks of rubbish": (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    "a folded header": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\tb\0\r\n\r\n", 400),
    "many headers": (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 5000 + b"\r\n", 200),
}


def test_strange_requests_are_answered_and_leave_no_trace(page: StartPage) -> None:
    """Neither in the log nor for whoever comes next."""
    shown = page()
    for title, (request, status) in STRANGE.items():
        with shown.open_socket() as raw:
            raw.sendall(request)
            assert raw.recv(12) == f"HTTP/1.1 {status}".encode(), title
    with shown.open_socket() as raw:
        raw.sendall(b"GET /events HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        assert raw.recv(12) == b"HTTP/1.1 200"
        raw.sendall(b"rubbish\r\n")
        wait_until(lambda: _is_reset(raw), PATIENCE, "the connection has not ended")
    assert shown.request("/healthz").status == 200
    assert len(shown.process.lines) == 1, shown.process.log


def test_rubbish_on_the_broker_keeps_nobody_from_an_answer(page: StartPage, agents: Agents) -> None:
    """Retained on every topic that is listened to: what makes no sense is passed over, and the rest is shown."""
    nested = b'{"status":"running","seq":1,"timestamp":1,"time":"x","a":' + b"[" * 300 + b"]" * 300 + b"}"
    for payload in (nested, b"x" * (1 << 20), b"[]", b"NaN", b'"\\u0000"', b"\xff\xfe", b'{"status":{"status":[]}}'):
        for topic in ("x/status", "x/agent", "x/y/status", "x/y/usage", "x/y/z/status", "x", "x//status", "x/y/else"):
            agents.publish(topic, payload)
    agents.publish("x/y/status", nested)
    host = agents.host("pi")
    shown = page()
    agents.publish("x/y/usage", nested)
    agents.send(host.status(), host.container("web"), host.usage("web", 1))
    found = shown.wait_for(lambda document: len(document["containers"]) == 1)
    assert [one["host"] for one in found["hosts"]] == ["pi"]
    viewer = shown.stream()
    assert [row["id"] for row in viewer.event()[1]["containers"]] == ["web"]
    viewer.close()


def test_a_request_that_is_too_long_or_is_none_is_refused(page: StartPage) -> None:
    """Without filling the log."""
    shown = page()
    for request in (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b"\x16\x03\x01\r\n\r\n", b"GET  HTTP\r\n\r\n"):
        with shown.open_socket() as raw:
            raw.sendall(request)
            assert re.match(rb"HTTP/1.1 4\d\d ", raw.recv(100))
    assert shown.request("/healthz").status == 200
    assert "Invalid" not in shown.process.log
