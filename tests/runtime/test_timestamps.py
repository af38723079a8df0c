"""RFC 3339 times: parsed as engines write them, and written as the agent publishes them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.runtime.timestamps import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.123456789Z", 123_456_789),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T18:30:00.25-05:30", 250_000_000),
        ("1969-12-31T23:59:59.9Z", -100_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
        ("0001-01-01T00:00:00+05:00", -62_135_614_800_000_000_000),
    ],
)
def test_parse_time_is_exact_to_the_nanosecond(text: str, ns: int) -> None:
    """Every time that engines write is parsed, with any number of digits and any offset."""
    assert parse_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-24",
        "2026-11-24T18:41:47",
        "2026-11-24 18:41:47Z",
        "2026-11-24T18:41:47.Z",
        "2026-11-24T18:41:47.1234567890Z",
        "2026-11-24T18:41:47+0100",
        "2026-11-24T18:41:47+24:00",
        "2026-11-24T18:41:60Z",
        "2026-11-24T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-24T18:41:47Z\n",
        "٢٠٢٦-11-24T18:41:47Z",  # digits, but not those of RFC 3339
    ],
)
def test_parse_time_refuses_other_text(text: str) -> None:
    """Anything else is a ValueError: a time that is parsed in part would be wrong."""
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


@settings(deadline=None)
@given(st.integers(parse_time("0001-01-01T00:00:00Z"), parse_time("9999-12-31T23:59:59.999999999Z")))
def test_written_time_is_parsed_as_the_same_nanosecond(ns: int) -> None:
    """The text always has nine digits and a Z."""
    text = format_time(ns)
    assert parse_time(text) == ns
    assert len(text) == len("2026-11-24T18:41:47.683326937Z")
    assert text.endswith("Z")


@pytest.mark.parametrize("ns", [2**80, -(2**80), 2**100])
def test_format_time_refuses_years_without_four_digits(ns: int) -> None:
    """Years outside 1 to 9999 are a ValueError, and no other kind of error."""
    with pytest.raises(ValueError, match="years"):
        format_time(ns)
