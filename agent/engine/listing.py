"""Decodes the engine's list of containers (GET /containers/json) row by row, while its bytes arrive. Pure.

An engine with thousands of stopped containers sends tens of megabytes, of which the agent needs little. So the list is
never in memory as a whole: each row is decoded as soon as it is complete, and `trim_row` keeps what the agent needs.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from json import JSONDecodeError, JSONDecoder
from typing import Any

from agent.engine.errors import EngineUnreachableError, InvalidResponseError
from agent.engine.protocol import MAX_ANSWER_BYTES, describe_body, is_container_id

MAX_LIST_BYTES = 256 << 20  # 60 000 containers with 4 kB each
_STATES_WITH_LABELS = ("running", "paused", "restarting")

_FIELDS = ("Id", "Names", "Image", "Created", "State")
_BLANKS = re.compile(r"[ \t\r\n]*")
_AFTER_A_ROW = ",] \t\r\n"
_decode_value = JSONDecoder(strict=False).raw_decode  # unlike msgspec it can decode one value and say where it ends


class _Expected(Enum):
    """What comes next in the text."""

    BEGIN = auto()  # of the array
    FIRST_OR_END = auto()
    COMMA_OR_END = auto()
    ROW = auto()
    NOTHING = auto()


_AFTER = {
    (_Expected.BEGIN, "["): _Expected.FIRST_OR_END,
    (_Expected.FIRST_OR_END, "]"): _Expected.NOTHING,
    (_Expected.COMMA_OR_END, ","): _Expected.ROW,
    (_Expected.COMMA_OR_END, "]"): _Expected.NOTHING,
}


def decode_rows(chunks: Iterable[bytes]) -> Iterator[object]:
    """Yield each row of the list as soon as all its bytes have arrived.

    Args:
        chunks: the body of the response, a JSON array, in pieces of any size.

    Raises:
        InvalidResponseError: the body is no JSON array, has a row of more than MAX_ANSWER_BYTES, or has more than
            MAX_LIST_BYTES.
        EngineUnreachableError: the body is blank, as an engine sends it while it is shutting down.
    """
    utf8 = codecs.getincrementaldecoder("utf-8")()
    text, expected, total, min_length = "", _Expected.BEGIN, 0, 0
    try:
        for chunk in chunks:
            total += len(chunk)
            text += utf8.decode(chunk)
            # A long row is tried again only when its text has doubled: else each chunk of it would be read many times.
            if len(text) >= min_length:
                rows, text, expected = _take_rows(text, expected)
                yield from rows
                min_length = 2 * len(text)
            if len(text) > MAX_ANSWER_BYTES or total > MAX_LIST_BYTES:
                raise InvalidResponseError(f"the engine's list is too large: {total} bytes, {len(text)} in one row")
        rows, text, expected = _take_rows(text + utf8.decode(b"", final=True), expected)
    except (ValueError, RecursionError) as error:  # not UTF-8; a number of thousands of digits; nested too deeply
        raise InvalidResponseError(f"the engine's list cannot be understood: {str(error)[:100]}") from error
    yield from rows
    if expected is _Expected.BEGIN and not text:
        raise EngineUnreachableError("the engine answered nothing")
    if expected is not _Expected.NOTHING:
        raise _not_a_list(text)


def _take_rows(text: str, expected: _Expected) -> tuple[list[object], str, _Expected]:
    """Return the rows that are complete, the text after them, and what is expected there."""
    rows: list[object] = []
    position = _skip_blanks(text, 0)
    while position < len(text):
        if after := _AFTER.get((expected, text[position])):
            position, expected = position + 1, after
        elif expected in (_Expected.FIRST_OR_END, _Expected.ROW):
            try:
                row, end = _decode_value(text, position)
            except JSONDecodeError:  # the rest of the row has not arrived, or it is no JSON, which shows at the end
                break
            if end == len(text) or text[end] not in _AFTER_A_ROW:  # perhaps a number that goes on
                break
            rows.append(row)
            position, expected = end, _Expected.COMMA_OR_END
        else:
            raise _not_a_list(text[position:])
        position = _skip_blanks(text, position)
    return rows, text[position:], expected


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _not_a_list(text: str) -> InvalidResponseError:
    shown = describe_body(text[:4096].encode(errors="replace"))
    return InvalidResponseError(f"the engine's list cannot be understood: {shown}")


def trim_row(row: object, with_labels: bool) -> dict[str, Any] | None:
    """Return what the agent needs of a row; None if it has no container's id.

    Labels, which make most of a row, are always kept of containers that run, and of others if `with_labels`.
    """
    if not isinstance(row, dict) or not is_container_id(row.get("Id")):
        return None
    with_labels = with_labels or row.get("State") in _STATES_WITH_LABELS
    fields = (*_FIELDS, "Labels") if with_labels else _FIELDS
    return {name: row[name] for name in fields if name in row}
