"""A response that arrives byte by byte keeps no call for longer than the timeout, though each byte comes in time."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from support.daemons.processes import slack
from support.engine_client import connected, connected_with_short_timeout
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer

from agent.engine.client import EngineClient
from agent.engine.errors import EngineUnreachableError
from agent.runtime.cancel import CancelToken
from engine.calls import ANY_ROUTE, CALLS, Call, each_call

STATUS = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Drip:
    """The same bytes again and again, `pause` seconds apart, without end; for any number of requests."""

    def __init__(self, what: bytes, pause: float) -> None:
        self._what = what
        self._pause = pause

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes."""
        never = threading.Event()
        while not never.wait(self._pause):
            yield self._what


@pytest.mark.parametrize("what", [b" ", b"{", b"\n"], ids=["blanks", "braces", "lines"])
def test_body_that_drips_ends_after_the_timeout(fake_engine: FakeEngine, what: bytes) -> None:
    """The deadline is for the body, or a line of it, and not for each byte."""
    # A second, since a pause of the machine that long would be another error: that of an engine that sends nothing.
    # So the calls wait for it side by side.
    engine = connected_with_short_timeout(fake_engine.url, 1.0)
    fake_engine.script(ANY_ROUTE, Answer(chunks=Drip(what, pause=0.05)))
    begun = time.monotonic()

    def fails(call: Call) -> None:
        with pytest.raises(EngineUnreachableError, match="did not end its answer"):
            call(engine)

    with ThreadPoolExecutor() as pool:
        for result in pool.map(fails, [CALLS[name] for name in ("inspect", "stats_once", "stats_stream")]):
            assert result is None
    assert time.monotonic() - begun < 1 + slack()


@each_call("inspect", "stats_once", "stats_stream")
@pytest.mark.parametrize(
    ("begun", "what"),
    [
        (b"HTTP/1.1 2", b"0"),
        (STATUS, b"X"),
        (STATUS, b"X-Header: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (STATUS + CHUNKED, b"1"),
        (STATUS + CHUNKED + b"0\r\n", b"X-Trailer: y\r\n"),
    ],
    ids=["status line", "header", "headers", "continue", "chunk size", "trailers"],
)
def test_frame_that_drips_ends_after_the_timeout(
    fake_engine: FakeEngine, call: Call, begun: bytes, what: bytes
) -> None:
    """The deadline holds for everything around a body, too."""
    engine = connected_with_short_timeout(fake_engine.url, 0.2)
    fake_engine.script(ANY_ROUTE, Answer(raw=chain([begun], Drip(what, pause=0.01))))
    started = time.monotonic()
    with pytest.raises(EngineUnreachableError, match="did not answer within"):
        call(engine)
    assert time.monotonic() - started < 0.2 + slack()


def test_slow_response_in_time_is_complete(fake_engine: FakeEngine) -> None:
    """A response in many small chunks that ends in time is as good as any."""
    container = fake_engine.run("web")
    engine: EngineClient = connected(fake_engine.url)
    raw = container.stats(fake_engine.now())
    fake_engine.script(r".*/stats", Answer(chunks=[raw[at : at + 100] for at in range(0, len(raw), 100)]))
    assert engine.stats_once(container.id, CancelToken()) == raw
