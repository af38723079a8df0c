"""Everything an engine can do wrong comes out as one of four errors, within the time there is."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
from support.asking import PATIENT, connected, descriptors, unconnected
from support.daemons.processes import wait_until
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer, json_answer

from agent.engine.client import EngineClient
from agent.engine.errors import (
    EngineError,
    EngineRefusedError,
    EngineUnreachableError,
    InvalidResponseError,
    NoSuchContainerError,
)
from agent.engine.protocol import MAX_ANSWER_BYTES
from agent.runtime.cancel import CancelledError, CancelToken

SHORT = 0.5  # seconds the engine is given in tests where it lets them pass
ANY = r"/.*"
EVERY_CALL: dict[str, Callable[[EngineClient], object]] = {
    "inspect": lambda engine: engine.inspect("c0ffee"),
    "containers": lambda engine: engine.list_containers(),
    "stats_once": lambda engine: engine.stats_once("c0ffee", CancelToken()),
    "stats_stream": lambda engine: next(engine.stats_stream("c0ffee", CancelToken())),
    "events": lambda engine: next(engine.events(None, CancelToken())),
    "ping": lambda engine: engine.ping(),
    "connect": lambda engine: engine.connect(),
}
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
DOCUMENT = b'{"Id":"c0ffee"}\n'
each_call = pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL.keys())


def drip(what: bytes) -> Iterator[bytes]:
    """Send a byte now and then, for ever."""
    never = threading.Event()
    while not never.wait(SHORT / 20):
        yield what


@each_call
@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(hang_up=True), EngineUnreachableError, "cannot be reached"),
        (Answer(silent=True), EngineUnreachableError, rf"did not answer within {SHORT:g} s"),
        (json_answer({"message": "something is on fire"}, 500), EngineRefusedError, "500 .*something is on fire"),
        (json_answer({"message": "is restarting"}, 409), EngineRefusedError, "409 .*is restarting"),
        (Answer(403, b"<html>Forbidden</html>"), EngineRefusedError, "403 .*<html>Forbidden</html>"),
        (Answer(404, b""), EngineRefusedError, "404"),
        (Answer(301, headers={"Location": "/_ping"}), EngineRefusedError, "301"),
        (Answer(500, b"x" * 10, truncated=True), EngineUnreachableError, "cannot be reached"),
    ],
    ids=["hangs up", "silent", "500", "409", "403", "404", "redirect", "torn error"],
)
def test_every_call_fails_alike(
    fake_engine: FakeEngine,
    call: Callable[[EngineClient], object],
    answer: Answer,
    kind: type[EngineError],
    message: str,
) -> None:
    """Whatever is called: the same misbehaviour gives the same error, counted once, and leaves nothing open."""
    engine = connected(fake_engine.url, SHORT)
    fake_engine.script(ANY, answer)
    before, open_before = engine.counters(), descriptors()
    with pytest.raises(EngineError, match=message) as raised:
        call(engine)
    assert type(raised.value) is kind
    assert engine.counters() == before | {"requests": before["requests"] + 1, "errors": before["errors"] + 1}
    # The fake's end of a connection is ours too, and is closed a moment after the agent's.
    wait_until(lambda: descriptors() <= open_before, PATIENT, "something is left open")
    assert fake_engine.requests.total() == before["requests"] + 1, "redirects are not followed"


@pytest.mark.parametrize("call", [EVERY_CALL[name] for name in ("inspect", "containers", "connect")])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(body=b""), EngineUnreachableError),  # an engine that is shutting down
        (Answer(body=b"\n"), EngineUnreachableError),
        (Answer(body=b'{"Id":', truncated=True), EngineUnreachableError),
        (Answer(chunks=[b'{"Id":'], truncated=True), EngineUnreachableError),
        (Answer(body=b'{"Id":'), InvalidResponseError),
        (Answer(body=b"<html>"), InvalidResponseError),
        (Answer(body=b"null"), InvalidResponseError),
        (Answer(body=b"17"), InvalidResponseError),
        (Answer(body=b'["text"]'), InvalidResponseError),
        (Answer(body=b'{"Id":"\xff"}'), InvalidResponseError),
        (Answer(body=b"[" * 50_000), InvalidResponseError),
        (Answer(body=b" " * MAX_ANSWER_BYTES + b"{}"), InvalidResponseError),
    ],
    ids=["empty", "blank", "torn", "torn chunks", "half", "page", "null", "number", "text", "latin-1", "deep", "huge"],
)
def test_documents_that_are_none(
    fake_engine: FakeEngine, call: Callable[[EngineClient], object], answer: Answer, kind: type[EngineError]
) -> None:
    """A torn or empty answer is a broken connection, one that says something else is rubbish."""
    engine = connected(fake_engine.url)
    fake_engine.script(ANY, answer)
    with pytest.raises(EngineError) as raised:
        call(engine)
    assert type(raised.value) is kind


def test_unknown_container(fake_engine: FakeEngine) -> None:
    """The engine itself says that it does not know a container, whichever way it is asked."""
    engine = connected(fake_engine.url)
    for name in ("inspect", "stats_once", "stats_stream"):
        with pytest.raises(NoSuchContainerError, match="No such container: c0ffee") as raised:
            EVERY_CALL[name](engine)
        assert raised.value.status == 404


@pytest.mark.parametrize("call", [EVERY_CALL[name] for name in ("inspect", "stats_once", "stats_stream")])
@pytest.mark.parametrize("what", [b" ", b"{", b"\n"], ids=["blanks", "braces", "lines"])
def test_answer_that_drips(fake_engine: FakeEngine, call: Callable[[EngineClient], object], what: bytes) -> None:
    """An answer that comes byte by byte keeps nobody for ever, though each byte comes in time."""
    engine = connected(fake_engine.url, SHORT)
    fake_engine.script(ANY, Answer(chunks=drip(what)))
    begun = time.monotonic()
    with pytest.raises(EngineUnreachableError, match="did not end its answer"):
        call(engine)
    assert time.monotonic() - begun < PATIENT


@pytest.mark.parametrize("call", [EVERY_CALL[name] for name in ("inspect", "stats_once", "stats_stream")])
@pytest.mark.parametrize(
    ("begun", "what"),
    [
        (b"HTTP/1.1 2", b"0"),
        (OK, b"X"),
        (OK, b"X-Header: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + CHUNKED, b"1"),
        (OK + CHUNKED + b"0\r\n", b"X-Trailer: y\r\n"),
    ],
    ids=["status line", "header", "headers", "patience", "size of a chunk", "trailers"],
)
def test_answer_that_drips_around_its_body(
    fake_engine: FakeEngine, call: Callable[[EngineClient], object], begun: bytes, what: bytes
) -> None:
    """Nor does one keep anybody whose body never begins, or never ends, for all that comes around it."""
    engine = connected(fake_engine.url, SHORT)
    fake_engine.script(ANY, Answer(raw=chain([begun], drip(what))))
    started = time.monotonic()
    with pytest.raises(EngineUnreachableError, match="did not answer within"):
        call(engine)
    assert time.monotonic() - started < PATIENT


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n" + DOCUMENT, None),
        (OK + b"Content-Length: 5\r\n\r\n" + DOCUMENT, InvalidResponseError),
        (OK + b"Content-Length: 3000000000\r\n\r\n" + DOCUMENT, EngineUnreachableError),
        (OK + b"Content-Length: many\r\n\r\n" + DOCUMENT, None),
        (OK + b"Content-Length: 5, 6\r\n\r\n" + DOCUMENT, EngineUnreachableError),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", InvalidResponseError),
        (OK + CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(DOCUMENT), DOCUMENT), None),
        (OK + CHUNKED + b"ff\r\n" + DOCUMENT, EngineUnreachableError),
        (OK + CHUNKED + b"5\r\n" + DOCUMENT, EngineUnreachableError),
        (OK + CHUNKED + b"many\r\n" + DOCUMENT, EngineUnreachableError),
        (OK + CHUNKED + b"-9223372036854775809\r\n" + DOCUMENT, InvalidResponseError),
        (b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 99999999999 18:41:47 GMT\r\n\r\n" + DOCUMENT, None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", EngineUnreachableError),
        (DOCUMENT, EngineUnreachableError),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", EngineRefusedError),
        (b"HTTP/1.1 204 No Content\r\n\r\n", EngineRefusedError),
    ],
)
def test_http_of_all_kinds(fake_engine: FakeEngine, raw: bytes, kind: type[EngineError] | None) -> None:
    """However an answer is framed, or claims to be: it is the document, or one of the errors."""
    engine = connected(fake_engine.url)
    fake_engine.script(ANY, Answer(raw=[raw]))
    try:
        assert engine.inspect("c0ffee") == {"Id": "c0ffee"}
        found = None
    except EngineError as error:
        found = type(error)
    assert found is kind


def test_slow_answer_in_time(fake_engine: FakeEngine) -> None:
    """An answer in many small chunks that ends in time is as good as any."""
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    raw = container.stats(fake_engine.now())
    fake_engine.script(r".*/stats", Answer(chunks=[raw[at : at + 100] for at in range(0, len(raw), 100)]))
    assert engine.stats_once(container.id, CancelToken()) == raw


def test_no_call_before_connecting(fake_engine: FakeEngine) -> None:
    """Before connect() no version is agreed on, so nothing is asked."""
    with pytest.raises(EngineUnreachableError, match="not connected to yet"):
        unconnected(fake_engine.url).inspect("c0ffee")
    assert fake_engine.requests.total() == 0


def test_cancelled_before(fake_engine: FakeEngine) -> None:
    """What was called off is not asked for, and is no error."""
    container = fake_engine.run("web")
    engine, cancel = connected(fake_engine.url), CancelToken()
    cancel.set()
    before = engine.counters()
    assert list(engine.stats_stream(container.id, cancel)) == []
    assert list(engine.events(None, cancel)) == []
    with pytest.raises(CancelledError):
        engine.stats_once(container.id, cancel)
    assert engine.counters() == before


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("unix:///nowhere/docker.sock", "No such file or directory: is the engine running there?"),
        ("tcp://127.0.0.1:1", "Connection refused: is the engine running there?"),
        ("unix:///" + "long/" * 40, "AF_UNIX path too long"),
        ("ftp://host", "engine.url ftp://host"),
        ("tcp://host:port", "engine.url tcp://host:port"),
        ("tcp://no-such-host.invalid:2375", "Name or service not known|name resolution"),
    ],
)
def test_nothing_there(url: str, message: str) -> None:
    """A wrong address is an error that shows the cause, not the pile of libraries above it."""
    with pytest.raises(EngineUnreachableError, match=message) as raised:
        unconnected(url).connect()
    assert url in str(raised.value)
    assert len(str(raised.value)) < 300 + len(url)


def test_missing_certificates(tmp_path: Path) -> None:
    """Certificates that are not there are named before anything is asked."""
    ca = tmp_path / "ca.pem"
    with pytest.raises(EngineUnreachableError, match="CA certificate"):
        unconnected("tcp://127.0.0.1:1", tls=(str(ca), "", "")).connect()


def test_ssh_without_its_extra() -> None:
    """ssh:// needs more than the others, and the error says what."""
    code = """if True:
        import sys
        sys.modules["paramiko"] = None  # as if it were not installed
        from agent.config import EngineSettings
        from agent.engine.client import EngineClient
        EngineClient(EngineSettings(url="ssh://host")).connect()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "EngineUnreachableError: ssh://host needs an extra: pip install 'usage-agent[ssh]'" in done.stderr


@pytest.mark.parametrize(
    "row", [None, 5, [], {}, {"Id": None}, {"Id": ""}, {"Id": "../../version"}, {"id": "c0" * 32}, {"Id": ["c0" * 32]}]
)
def test_rows_that_are_no_containers(fake_engine: FakeEngine, row: object) -> None:
    """A row without a container's id costs itself and a counted error; a list of nothing else is rubbish."""
    engine = connected(fake_engine.url)
    good = fake_engine.run("web").row()
    fake_engine.script("/containers/json", json_answer([row, good, row, good]), times=1)
    assert engine.list_containers() == [good, good]
    assert engine.counters()["errors"] == 1
    fake_engine.script("/containers/json", json_answer([row]), times=1)
    with pytest.raises(InvalidResponseError, match="none has a container's id"):
        engine.list_containers()


# Agreeing on a version


@pytest.mark.parametrize(
    ("api", "oldest", "spoken", "one_shot"),
    [
        ("1.24", "1.12", "1.24", False),
        ("1.40", "1.12", "1.40", False),
        ("1.41", "1.12", "1.41", True),
        ("1.52", "1.44", "1.52", True),
        ("1.77", "1.44", "1.52", True),
    ],
)
def test_speaks_the_newest_that_both_know(
    fake_engine: FakeEngine, api: str, oldest: str, spoken: str, one_shot: bool
) -> None:
    """The version in every path is one that the engine accepts and that was tested."""
    fake_engine.api, fake_engine.oldest_api = api, oldest
    container = fake_engine.run("web")
    engine = unconnected(fake_engine.url)
    assert engine.connect() == {"version": fake_engine.version, "api": spoken, "cgroup": "1"}
    assert engine.supports_one_shot is one_shot
    assert engine.inspect(container.id)["Id"] == container.id


@pytest.mark.parametrize(("api", "oldest"), [("1.23", "1.12"), ("1.99", "1.60")])
def test_no_version_in_common(fake_engine: FakeEngine, api: str, oldest: str) -> None:
    """With an engine that is too old or too new nothing is tried."""
    fake_engine.api, fake_engine.oldest_api = api, oldest
    with pytest.raises(EngineError, match=r"speaks API 1\.\d\d at (most|least)"):
        connected(fake_engine.url)
    assert dict(fake_engine.requests) == {"/version": 1}


def test_comes_back_as_another(fake_engine: FakeEngine) -> None:
    """An engine that was upgraded while it was away is agreed with again."""
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    fake_engine.stop()
    with pytest.raises(EngineUnreachableError):
        engine.inspect(container.id)
    fake_engine.api, fake_engine.oldest_api, fake_engine.version = "1.52", "1.44", "29.0.0"
    fake_engine.start()
    with pytest.raises(EngineRefusedError, match=r"version 1\.41 is not supported"):
        engine.inspect(container.id)
    assert engine.connect() == {"version": "29.0.0", "api": "1.52", "cgroup": "1"}
    assert engine.inspect(container.id)["Id"] == container.id


@pytest.mark.parametrize(
    "answer",
    [Answer(403), Answer(500), Answer(body=b"<html>"), Answer(hang_up=True), Answer(silent=True)],
    ids=["403", "500", "page", "hangs up", "silent"],
)
def test_without_info(fake_engine: FakeEngine, answer: Answer) -> None:
    """A proxy need not allow /info, and an engine may be stuck in it: then the cgroup version is not known, no more."""
    fake_engine.script("/info", answer)
    assert unconnected(fake_engine.url, SHORT).connect() == {"version": fake_engine.version, "api": "1.41"}


def test_only_the_calls_that_are_promised(fake_engine: FakeEngine) -> None:
    """A socket proxy that allows these seven allows everything there is."""
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    engine.ping()
    engine.list_containers()
    engine.inspect(container.id)
    engine.stats_once(container.id, CancelToken())
    with (
        closing(engine.stats_stream(container.id, CancelToken())) as stream,
        closing(engine.events(None, CancelToken())) as events,
    ):
        next(stream)
        next(events)
    assert sorted(fake_engine.requests) == [
        "/_ping",
        "/containers/json",
        "/containers/{id}/json",
        "/containers/{id}/stats",
        "/events",
        "/info",
        "/version",
    ]


def test_counters_from_many_threads(fake_engine: FakeEngine) -> None:
    """No count is lost between threads."""
    engine = connected(fake_engine.url)
    before = engine.counters()

    def work() -> None:
        for _ in range(50):
            engine.count_retry()
            engine.count_error()
            engine.ping()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.counters() == {"requests": before["requests"] + 400, "errors": 400, "retries": 400}
