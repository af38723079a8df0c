"""The list of containers is decoded row by row, however large it is and however it is cut into pieces."""

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine_client import connected
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer

from agent.engine import listing
from agent.engine.errors import EngineError, EngineUnreachableError, InvalidResponseError
from agent.engine.listing import decode_rows

LABELS = {f"com.example.label-{number}": "x" * 90 for number in range(40)}
STOPPED = 5000

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20)
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(st.lists(documents), st.booleans(), st.data())
def test_rows_are_the_same_however_the_list_is_cut(rows: list[Any], as_ascii: bool, data: st.DataObject) -> None:
    """Every row is decoded once, whole and in order, wherever the pieces begin and end."""
    raw = json.dumps(rows, ensure_ascii=as_ascii, indent=data.draw(st.sampled_from([None, 1]))).encode(
        errors="surrogatepass"
    )
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)))))
    pieces = [raw[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert list(decode_rows(pieces)) == rows


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"[", b"]", b",", b"{}", b'"', b"1", b"[[[[" * 9999])))
def test_any_bytes_are_a_list_or_an_engine_error(pieces: list[bytes]) -> None:
    """Bytes that are no JSON array raise the errors that are documented, and no other."""
    try:
        rows = list(decode_rows(pieces))
    except EngineError:
        return
    assert isinstance(json.loads(b"".join(pieces), strict=False), list)
    assert rows == json.loads(b"".join(pieces), strict=False)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", EngineUnreachableError),
        (b" \n", EngineUnreachableError),
        (b"[", InvalidResponseError),
        (b"[1,]", InvalidResponseError),
        (b"[1 2]", InvalidResponseError),
        (b"[]]", InvalidResponseError),
        (b"[1" + b"0" * 5000 + b",1]", InvalidResponseError),
        (b'["\xff"]', InvalidResponseError),
        (b'["\xc3', InvalidResponseError),
        (b'{"message":"not today"}', InvalidResponseError),
    ],
)
def test_what_is_no_list_is_an_error(raw: bytes, kind: type[EngineError]) -> None:
    """Nothing at all is a broken connection, and anything else that is no array an invalid response."""
    with pytest.raises(EngineError) as raised:
        list(decode_rows([raw]))
    assert type(raised.value) is kind


def test_endless_row_and_endless_list_are_refused() -> None:
    """Neither can fill the memory."""

    def endless(begin: bytes, piece: bytes) -> Iterator[bytes]:
        yield begin
        while True:
            yield piece

    with pytest.raises(InvalidResponseError, match="too large"):
        list(decode_rows(endless(b'["', b"x" * (1 << 20))))
    with pytest.raises(InvalidResponseError, match="too large"):
        assert sum(1 for _ in decode_rows(endless(b"[0", b" " * (1 << 20) + b",0"))) < listing.MAX_LIST_BYTES


@pytest.mark.slow
def test_large_list_is_read_without_being_held(fake_engine: FakeEngine) -> None:
    """Thousands of stopped containers with many labels, 25 MB: all are listed, and little of them is ever in memory."""
    running = fake_engine.run("web", labels=LABELS).row()
    stopped = fake_engine.create("stopped", labels=LABELS).row() | {"State": "exited"}

    def pieces() -> Iterator[bytes]:
        yield b"[" + json.dumps(running).encode()
        for number in range(STOPPED):
            yield b"," + json.dumps(stopped | {"Id": f"{number:064x}"}).encode()
        yield b"]\n"

    assert sum(map(len, pieces())) > 24 << 20
    fake_engine.script("/containers/json", Answer(chunks=pieces()))
    engine = connected(fake_engine.url, timeout=120)
    tracemalloc.start()
    try:
        rows = engine.list_containers()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows) == 1 + STOPPED
    assert rows[0]["Labels"] == LABELS
    assert peak < 12 << 20
