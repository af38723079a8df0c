"""Text from elsewhere, made safe to show: on a terminal, in the journal, in an error."""

import re

# Control characters (newline, ESC, …), the two Unicode line ends, the marks that turn the direction of writing
# ("Trojan Source", CVE-2021-42574), and halves of surrogate pairs, which no output can encode.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escape(text: str) -> str:
    r"""Return `text` on one line: what ends a line, steers a terminal or hides text becomes `\n`, `\x1b`, `\u202e`."""
    return _HARMFUL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def quote(text: str, limit: int = 100) -> str:
    """Return `text` escaped and in quotation marks; what is beyond `limit` characters becomes an ellipsis."""
    return f'"{escape(text)}"' if len(text) <= limit else f'"{escape(text[:limit])}…"'


def preview(value: object, limit: int = 60) -> str:
    """Return what was found where something else was expected: a plain value's beginning, of others only the kind.

    An engine's document may be nested deeper than `repr` can follow.
    """
    plain = value is None or isinstance(value, bool | int | float | str)
    text = escape(repr(value)) if plain else type(value).__name__
    return text if len(text) <= limit else f"{text[:limit]}…"
