"""Values from JSON documents of unknown origin: each is returned only if it has the type that is asked for. Pure.

Subscribers show what they understand of a message and ignore the rest. They do not validate messages against the
schema: an agent of a later version may have more fields, and other values in them.
"""

MAX_NUMBER = 2.0**63  # what is larger measures nothing, and would not fit into any column

Document = dict[str, object]


def find(document: object, *path: str) -> object:
    """Return the value at the end of a path of keys; None if there is none."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def number(document: object, *path: str) -> float | None:
    """Return the number at the end of a path of keys; None if there is none, or it is negative or above MAX_NUMBER."""
    value = find(document, *path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < MAX_NUMBER else None


def integer(document: object, *path: str) -> int | None:
    """Return the whole number at the end of a path of keys; None if there is none up to MAX_NUMBER, of either sign."""
    value = find(document, *path)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < MAX_NUMBER else None


def text(document: object, *path: str) -> str | None:
    """Return the text at the end of a path of keys; None if there is none, or it is empty."""
    value = find(document, *path)
    return value if isinstance(value, str) and value else None
