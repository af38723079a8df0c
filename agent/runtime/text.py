"""Text that comes from outside, made safe to show on a terminal, in the journal or in an error, and for topics."""

import re

# Control characters (newline, ESC, …), the two Unicode line separators, the marks that change the direction of writing
# ("Trojan Source", CVE-2021-42574), and single surrogates, which no output can encode.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Separator and wildcards (MQTT 5, section 4.7.1); control characters and noncharacters, which MQTT advises against and
# for which some brokers (mosquitto) close the connection (section 1.5.4); lone surrogates, which UTF-8 cannot encode.
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
_UNSAFE = re.compile(f"[/+#\x00-\x1f\x7f-\x9f\ud800-\udfff{_NONCHARACTERS}]")


def escape(text: str) -> str:
    r"""Return `text` on one line, with harmful characters as Python escapes them: `\n`, `\x1b`, `\u202e`."""
    return _HARMFUL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def topic_level(text: str) -> str:
    """Turn any text into exactly one topic level, which is never empty."""
    return _UNSAFE.sub("_", text) or "_"


def shorten(text: str, limit: int) -> str:
    """Return `text` escaped; characters beyond `limit` become an ellipsis."""
    line = escape(text)
    return line if len(line) <= limit else f"{line[:limit]}…"


def quote(text: str, limit: int = 100) -> str:
    """Return `text` escaped and in quotation marks; characters beyond `limit` become an ellipsis."""
    return f'"{escape(text)}"' if len(text) <= limit else f'"{escape(text[:limit])}…"'


def preview(value: object, limit: int = 60) -> str:
    """Return a value of a JSON document for an error message: up to `limit` characters of it, or its type's name.

    Of a list or an object only the type's name: a document may be nested deeper than `repr` can follow.
    """
    plain = value is None or isinstance(value, bool | int | float | str)
    return shorten(repr(value) if plain else type(value).__name__, limit)
