"""RFC 3339, as engines write it, to nanoseconds since the epoch and back: `datetime` stops at microseconds."""

import re
from datetime import datetime, timedelta

# Go prints as many digits as are needed, up to nine; Docker in UTC, Podman in the local zone.
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EPOCH = datetime(1970, 1, 1)  # naive, in UTC: offsets are reckoned by hand


def parse_time(text: str) -> int:
    """Return the nanoseconds since the epoch of an RFC 3339 time; negative before 1970.

    Raises ValueError for everything else, dates that do not exist included.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text[:40]!r}")
    wall, fraction, sign, hours, minutes = match.groups()
    since = datetime.fromisoformat(wall) - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += -offset if sign == "+" else offset
    return seconds * 1_000_000_000 + (int(fraction.ljust(9, "0")) if fraction else 0)


def format_time(ns: int) -> str:
    """Return RFC 3339 in UTC with all nine digits: `2026-11-24T18:41:47.683326937Z`.

    Raises ValueError outside the years 1 to 9999.
    """
    seconds, fraction = divmod(ns, 1_000_000_000)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"outside the years 1 to 9999: {ns} ns") from error
    return f"{moment.isoformat()}.{fraction:09d}Z"
