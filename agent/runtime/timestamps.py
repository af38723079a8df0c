"""Timestamps: RFC 3339 as engines write it, to ns since the epoch and back. `datetime` has no nanoseconds."""

import re
from datetime import datetime, timedelta

# Go prints as many digits of a second as are needed, up to nine. Docker writes UTC, Podman the local time zone.
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EPOCH = datetime(1970, 1, 1)  # naive, and meant as UTC: time zones are subtracted below


def parse_time(text: str) -> int:
    """Return the nanoseconds since the epoch of an RFC 3339 time; negative before 1970.

    Raises:
        ValueError: the text is no such time, or the date does not exist.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text[:40]!r}")
    date_time, fraction, sign, hours, minutes = match.groups()
    elapsed = datetime.fromisoformat(date_time) - _EPOCH
    seconds = elapsed.days * 86_400 + elapsed.seconds
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += -offset if sign == "+" else offset
    return seconds * 1_000_000_000 + (int(fraction.ljust(9, "0")) if fraction else 0)


def format_time(ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC, with nine digits: `2026-11-24T18:41:47.683326937Z`.

    Raises:
        ValueError: the time is outside the years 1 to 9999.
    """
    seconds, fraction = divmod(ns, 1_000_000_000)
    try:
        date_time = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"outside the years 1 to 9999: {ns} ns") from error
    return f"{date_time.isoformat()}.{fraction:09d}Z"
