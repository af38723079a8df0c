"""Looking up values in a document that anybody may have written. Pure.

Subscribers show what they understand of a message and pass over the rest. They do not validate it against the schema:
an agent of a later version may say more, and in other words.
"""

MAX_NUMBER = 2.0**63  # what is larger measures nothing, and would not fit into any column

Document = dict[str, object]


def find(document: object, *path: str) -> object:
    """Return the value at the end of a path of keys, or None."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def number(document: object, *path: str) -> float | None:
    """Return a number that is not negative, or None."""
    value = find(document, *path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < MAX_NUMBER else None


def integer(document: object, *path: str) -> int | None:
    """Return a whole number, or None."""
    value = find(document, *path)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < MAX_NUMBER else None


def text(document: object, *path: str) -> str | None:
    """Return a text that is not empty, or None."""
    value = find(document, *path)
    return value if isinstance(value, str) and value else None
