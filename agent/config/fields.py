"""Every key of the configuration: its names, its type, and how text from the environment becomes a value for it."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect

from agent.config.settings import Config
from agent.config.urls import EMBEDDED

PREFIX = "USAGE_AGENT_"


class WrongValueError(Exception):
    """A value that a key cannot have: each argument is one mistake, in words."""

    args: tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """One key: `annotation` is its type as the settings define it, `kind` the same without what wraps it."""

    table: str
    name: str
    annotation: Any
    kind: inspect.Type
    optional: bool  # an empty string stands for the default

    @property
    def path(self) -> str:
        """The key as `config.toml` has it: `table.name`."""
        return f"{self.table}.{self.name}"

    @property
    def variable(self) -> str:
        """The key as the environment has it: `USAGE_AGENT_TABLE__NAME`."""
        return f"{PREFIX}{self.table}__{self.name}".upper()


def bare(kind: inspect.Type) -> inspect.Type:
    """Return a type without its description and without its None."""
    if isinstance(kind, inspect.Metadata):
        return bare(kind.type)
    return bare(kind.types[0]) if isinstance(kind, inspect.UnionType) else kind


def _keys() -> Iterable[Key]:
    for table in msgspec.structs.fields(Config):
        for field in msgspec.structs.fields(table.type):
            kind = inspect.type_info(field.type)
            if isinstance(kind, inspect.Metadata) and "description" in (kind.extra_json_schema or {}):
                yield Key(table.name, field.name, field.type, bare(kind), field.default in (None, msgspec.NODEFAULT))


KEYS: Mapping[str, Key] = {key.path: key for key in _keys()}


def from_text(key: Key, text: str) -> object:
    """Return what the text of an environment variable says, typed as TOML would have it; raises WrongValueError."""
    if isinstance(key.kind, inspect.VarTupleType):
        return _list(key, text.strip())
    if isinstance(key.kind, inspect.StrType | inspect.CustomType) or key.path == "broker.protocol":
        return text
    value = _toml(text)
    return text if value is None else value


def _list(key: Key, text: str) -> list[Any]:
    if not text.startswith("["):
        # A comma may be part of a password: between addresses it separates only where another one starts.
        comma = rf",\s*(?=[A-Za-z][A-Za-z0-9+.-]*://|{EMBEDDED})" if key.path == "broker.url" else ","
        return [part.strip() for part in re.split(comma, text) if part.strip()]
    value = _toml(text)
    if not isinstance(value, list):
        raise WrongValueError(
            f"{key.path} is a broken array, allowed is an array as in TOML, or a comma-separated list"
        )
    return value


def _toml(text: str) -> Any:
    """Return the one TOML value that `text` is, or None."""
    try:
        document = tomllib.loads(f"value = {text.strip()}")
    except (ValueError, RecursionError):
        return None
    return document["value"] if len(document) == 1 else None


def did_you_mean(found: object, choices: Iterable[str], prefix: str = "") -> str:
    """Return `; did you mean …?` with the choice, after `prefix`, that `found` resembles in any case, or nothing."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = get_close_matches(found[:100].lower(), by_lower, 1, 0.5) if isinstance(found, str) else []
    return f"; did you mean {prefix}{by_lower[close[0]]}?" if close else ""
