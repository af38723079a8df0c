"""Whatever an engine sends instead of a response, a call fails with one of four errors, and counts it once."""

import pytest
from support.daemons.processes import PATIENCE, wait_until
from support.engine_client import connected, connected_with_short_timeout, descriptors, unconnected
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer, json_answer

from agent.engine.errors import (
    EngineError,
    EngineRefusedError,
    EngineUnreachableError,
    InvalidResponseError,
    NoSuchContainerError,
)
from agent.engine.protocol import MAX_ANSWER_BYTES
from agent.runtime.cancel import CancelledError, CancelToken
from engine.calls import ANY_ROUTE, CALLS, Call, each_call

SHORT = 0.2  # seconds until a call gives up, where the engine stays silent


@each_call()
@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(hang_up=True), EngineUnreachableError, "cannot be reached"),
        (json_answer({"message": "something is on fire"}, 500), EngineRefusedError, "500 .*something is on fire"),
        (json_answer({"message": "is restarting"}, 409), EngineRefusedError, "409 .*is restarting"),
        (Answer(403, b"forbidden by a rule"), EngineRefusedError, "403 .*forbidden by a rule"),
        (Answer(404, b""), EngineRefusedError, "404"),
        (Answer(301, headers={"Location": "/_ping"}), EngineRefusedError, "301"),
        (Answer(500, b"x" * 10, truncated=True), EngineUnreachableError, "cannot be reached"),
    ],
    ids=["hangs up", "500", "409", "403", "404", "redirect", "truncated error"],
)
def test_every_call_fails_alike(
    fake_engine: FakeEngine, call: Call, answer: Answer, kind: type[EngineError], message: str
) -> None:
    """The same misbehaviour gives every call the same error. It is counted once, and no descriptor stays open."""
    engine = connected(fake_engine.url)
    fake_engine.script(ANY_ROUTE, answer)
    before, open_before = engine.counters(), descriptors()
    with pytest.raises(EngineError, match=message) as raised:
        call(engine)
    assert type(raised.value) is kind
    assert engine.counters() == before | {"requests": before["requests"] + 1, "errors": before["errors"] + 1}
    # The fake engine's end of the connection is in this process, too, and is closed a moment after the agent's end.
    wait_until(lambda: descriptors() <= open_before, PATIENCE, "a descriptor stays open")
    assert fake_engine.requests.total() == before["requests"] + 1, "redirects are not followed"


@each_call()
def test_every_call_gives_up_after_the_timeout(fake_engine: FakeEngine, call: Call) -> None:
    """An engine that accepts a request and sends nothing keeps no call for longer than the timeout."""
    engine = connected_with_short_timeout(fake_engine.url, SHORT)
    fake_engine.script(ANY_ROUTE, Answer(silent=True))
    before, open_before = engine.counters(), descriptors()
    with pytest.raises(EngineUnreachableError, match=f"did not answer within {SHORT:g} s"):
        call(engine)
    assert engine.counters() == before | {"requests": before["requests"] + 1, "errors": before["errors"] + 1}
    # The call used the idle connection, whose end in the fake engine stays open as long as that is silent.
    wait_until(lambda: descriptors() < open_before, PATIENCE, "a descriptor stays open")


@each_call("inspect", "list_containers", "connect")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(body=b""), EngineUnreachableError),  # an engine that is shutting down
        (Answer(body=b"\n"), EngineUnreachableError),
        (Answer(body=b'[{"Id":', truncated=True), EngineUnreachableError),
        (Answer(chunks=[b'[{"Id":'], truncated=True), EngineUnreachableError),
        (Answer(body=b'[{"Id":'), InvalidResponseError),
        (Answer(body=b"<html>"), InvalidResponseError),
        (Answer(body=b"null"), InvalidResponseError),
        (Answer(body=b"17"), InvalidResponseError),
        (Answer(body=b'["text"]'), InvalidResponseError),
        (Answer(body=b'{"Id":"\xff"}'), InvalidResponseError),
        (Answer(body=b"[" * 50_000), InvalidResponseError),
        (Answer(body=b" " * MAX_ANSWER_BYTES + b"{}"), InvalidResponseError),
    ],
    ids=[
        "empty",
        "blank",
        "truncated body",
        "truncated chunks",
        "half",
        "page",
        "null",
        "number",
        "text",
        "latin-1",
        "deep",
        "huge",
    ],
)
def test_invalid_document_is_told_from_a_broken_connection(
    fake_engine: FakeEngine, call: Call, answer: Answer, kind: type[EngineError]
) -> None:
    """A truncated or empty body is a broken connection, any other document is an invalid response."""
    engine = connected(fake_engine.url)
    fake_engine.script(ANY_ROUTE, answer)
    with pytest.raises(EngineError) as raised:
        call(engine)
    assert type(raised.value) is kind


PAGE = b"<!DOCTYPE html>\n<html><head><title>Welcome to\x1b[2J nginx!</title></head><body><p>Hello</p></body></html>"


@each_call("inspect", "list_containers", "connect")
@pytest.mark.parametrize("status", [200, 403, 404])
def test_web_page_is_named_and_not_shown(fake_engine: FakeEngine, call: Call, status: int) -> None:
    """A web server or a proxy that answers with a page: the error has its title, and no markup."""
    engine = connected(fake_engine.url)
    fake_engine.script(ANY_ROUTE, Answer(status, PAGE))
    with pytest.raises(EngineError, match="a web page") as raised:
        call(engine)
    assert r'"Welcome to\x1b[2J nginx!"; is engine.url the address of an engine' in str(raised.value)
    assert "<" not in str(raised.value)


@each_call("inspect", "stats_once", "stats_stream")
def test_unknown_container_has_an_error_of_its_own(fake_engine: FakeEngine, call: Call) -> None:
    """The engine itself says that it does not know the container."""
    engine = connected(fake_engine.url)
    with pytest.raises(NoSuchContainerError, match="No such container: c0ffee") as raised:
        call(engine)
    assert raised.value.status == 404


@pytest.mark.parametrize(
    "row", [None, 5, [], {}, {"Id": None}, {"Id": ""}, {"Id": "../../version"}, {"id": "c0" * 32}, {"Id": ["c0" * 32]}]
)
def test_rows_without_a_container_id_are_left_out(fake_engine: FakeEngine, row: object) -> None:
    """Such rows are one counted error; a list with no other rows is an invalid response."""
    engine = connected(fake_engine.url)
    good = fake_engine.run("web").row()
    kept = {name: good[name] for name in ("Id", "Names", "Image", "Created", "State", "Labels")}
    fake_engine.script("/containers/json", json_answer([row, good, row, good]), times=1)
    assert engine.list_containers() == [kept, kept]
    assert engine.counters()["errors"] == 1
    fake_engine.script("/containers/json", json_answer([row]), times=1)
    with pytest.raises(InvalidResponseError, match="none has a container's id"):
        engine.list_containers()


def test_nothing_is_sent_before_connecting(fake_engine: FakeEngine) -> None:
    """Before connect() there is no version to speak."""
    with pytest.raises(EngineUnreachableError, match="not connected to yet"):
        CALLS["inspect"](unconnected(fake_engine.url))
    assert fake_engine.requests.total() == 0


def test_nothing_is_sent_after_cancelling(fake_engine: FakeEngine) -> None:
    """A call whose token is set before it begins sends no request and counts no error."""
    container = fake_engine.run("web")
    engine, cancel = connected(fake_engine.url), CancelToken()
    cancel.set()
    before = engine.counters()
    assert list(engine.stats_stream(container.id, cancel)) == []
    assert list(engine.events(None, cancel)) == []
    with pytest.raises(CancelledError):
        engine.stats_once(container.id, cancel)
    assert engine.counters() == before
