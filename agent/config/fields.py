"""The keys of the configuration: their names, their types, and how text of an environment variable is read for them."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect

from agent.config.secret import strip_added
from agent.config.settings import Config
from agent.config.urls import EMBEDDED

PREFIX = "USAGE_AGENT_"


class WrongValueError(Exception):
    """A value that is not allowed for its key. Each argument is the text of one mistake."""

    args: tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        table: table of the key, `agent` in `agent.host`.
        name: its name in the table, `host` in `agent.host`.
        annotation: its type as `settings.py` defines it.
        kind: the same type without its metadata and without None.
        optional: whether an empty string stands for the default.
    """

    table: str
    name: str
    annotation: Any
    kind: inspect.Type
    optional: bool

    @property
    def path(self) -> str:
        """The key as `config.toml` names it: `table.name`."""
        return f"{self.table}.{self.name}"

    @property
    def variable(self) -> str:
        """The key's environment variable: `USAGE_AGENT_TABLE__NAME`."""
        return f"{PREFIX}{self.table}__{self.name}".upper()


def unwrap(kind: inspect.Type) -> inspect.Type:
    """Return a type without its metadata and without None."""
    if isinstance(kind, inspect.Metadata):
        return unwrap(kind.type)
    return unwrap(kind.types[0]) if isinstance(kind, inspect.UnionType) else kind


def _keys() -> Iterable[Key]:
    for table in msgspec.structs.fields(Config):
        for field in msgspec.structs.fields(table.type):
            kind = inspect.type_info(field.type)
            if isinstance(kind, inspect.Metadata) and "description" in (kind.extra_json_schema or {}):
                yield Key(table.name, field.name, field.type, unwrap(kind), field.default in (None, msgspec.NODEFAULT))


KEYS: Mapping[str, Key] = {key.path: key for key in _keys()}


def from_text(key: Key, text: str) -> object:
    """Return the text of a key's environment variable as the value that TOML would have.

    Raises:
        WrongValueError: the text of a list is no list, the text is in quotation marks, or a password has line breaks.
    """
    if isinstance(key.kind, inspect.CustomType):
        return _password(key, text)
    if _is_quoted(text):
        raise WrongValueError(f"{key.path} is in quotation marks, allowed is the value without them")
    if isinstance(key.kind, inspect.VarTupleType):
        return _list(key, text.strip())
    if isinstance(key.kind, inspect.StrType) or key.path == "broker.protocol":
        return text
    value = _toml(text)
    return text if value is None else value


def _list(key: Key, text: str) -> list[Any]:
    if not text.startswith("["):
        # A comma may be part of a password. So it separates addresses only where the next one starts after it.
        comma = rf",\s*(?=[A-Za-z][A-Za-z0-9+.-]*://|{EMBEDDED})" if key.path == "broker.url" else ","
        parts = [part.strip() for part in re.split(comma, text) if part.strip()]
        if not parts or any(map(_is_quoted, parts)):
            raise WrongValueError(
                f"{key.path} has {'quotation marks around an element' if parts else 'no element'}, "
                "allowed is an array as in TOML, or a comma-separated list without quotation marks"
            )
        return parts
    value = _toml(text)
    if not isinstance(value, list):
        raise WrongValueError(
            f"{key.path} is a broken array, allowed is an array as in TOML, or a comma-separated list"
        )
    return value


def _password(key: Key, text: str) -> str:
    text = strip_added(text)
    if _is_quoted(text):
        raise WrongValueError(
            f"{key.path} is in quotation marks: remove them, or use broker.password_file if they belong to it"
        )
    if re.search("[\x00-\x1f\x7f]", text):
        raise WrongValueError(
            f"{key.path} has a line break or another control character in it: "
            "remove it, or use broker.password_file if it belongs to it"
        )
    return text


def _is_quoted(text: str) -> bool:
    """Return whether quotation marks surround a text, as they stay in files for `docker run --env-file`."""
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def _toml(text: str) -> Any:
    """Return the TOML value that `text` is; None if it is not exactly one value."""
    try:
        document = tomllib.loads(f"value = {text.strip()}")
    except (ValueError, RecursionError):
        return None
    return document["value"] if len(document) == 1 else None


def did_you_mean(found: object, choices: Iterable[str], prefix: str = "") -> str:
    """Return `; did you mean …?` with the choice that `found` resembles, or an empty string.

    For unknown tables, keys and variables (loader.py), and for wrong words and placeholders (conversion.py). Schemes of
    addresses have aliases instead of similar spellings: see `urls._suggest_scheme`.

    Args:
        found: what was found; upper and lower case count as equal.
        choices: what is allowed.
        prefix: put before the choice in the answer.
    """
    by_lower = {choice.lower(): choice for choice in choices}
    close = get_close_matches(found[:100].lower(), by_lower, 1, 0.5) if isinstance(found, str) else []
    return f"; did you mean {prefix}{by_lower[close[0]]}?" if close else ""
