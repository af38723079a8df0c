"""What each key may be: values converted to their types, and wrong ones described without giving secrets away."""

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec
from msgspec import inspect

from agent.config.fields import Key, WrongValueError, bare, did_you_mean
from agent.config.secret import LONGEST, Secret
from agent.config.urls import EMBEDDED, masked, parse_broker, parse_engine
from agent.runtime.text import quote

PLACEHOLDERS = ("name", "id", "short_id", "project", "service")

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def convert(key: Key, raw: object) -> Any:
    """Return the value that `raw`, as TOML has it, means for `key`; raises WrongValueError with every mistake in it."""
    if key.path == "broker.protocol" and type(raw) is int:
        raw = str(raw)
    if not isinstance(key.kind, inspect.VarTupleType):
        return _convert(key, key.path, key.annotation, raw)
    item_type = get_args(get_args(key.annotation)[0])[0]
    if key.path == "broker.url" and isinstance(raw, str):
        return (_convert(key, key.path, item_type, raw),)
    if not isinstance(raw, list):
        raise WrongValueError(f"{key.path} is {_found(key, raw)}, allowed is an array of strings")
    values: list[Any] = []
    mistakes: list[str] = []
    for index, item in enumerate(raw):
        try:
            values.append(_convert(key, f"{key.path}[{index}]", item_type, item))
        except WrongValueError as wrong:
            mistakes += wrong.args
    if key.path == "broker.url" and not raw:
        mistakes.append("broker.url is an empty array, allowed is at least one address")
    if key.path == "broker.url" and EMBEDDED in raw and len(raw) > 1:
        mistakes.append(f"broker.url is a list with {EMBEDDED} in it, allowed is {EMBEDDED} alone")
    if mistakes:
        raise WrongValueError(*mistakes)
    return tuple(values)


def _convert(key: Key, path: str, annotation: Any, raw: object) -> Any:
    try:
        value = msgspec.convert(raw, annotation, dec_hook=_secret)
    except msgspec.ValidationError:
        raise WrongValueError(f"{path} is {_found(key, raw)}, {_allowed(annotation, raw)}") from None
    try:
        rule = RULES.get(key.path)
        return _text(value) if rule is None else rule(_text(value))
    except ValueError as error:
        raise WrongValueError(f"{path} is {_found(key, raw)}, {error}") from None


def _secret(_: type[Any], raw: object) -> Secret:
    if isinstance(raw, str) and not _SURROGATE.search(raw) and 0 < len(raw.encode()) <= LONGEST:
        return Secret(raw)
    raise TypeError


def _found(key: Key, raw: object) -> str:
    """Return what was found, in words: never a secret, never what is inside a table or an array."""
    if isinstance(key.kind, inspect.CustomType):
        return sort(raw)
    match raw:
        case str():
            return quote(masked(raw) if key.name == "url" else raw)
        case bool():
            return str(raw).lower()
        case float():
            return repr(raw)
        case int() if raw.bit_length() <= 64:  # Python refuses to write out very long ones
            return str(raw)
    return sort(raw)


def sort(raw: object) -> str:
    """Return what sort of TOML value `raw` is, and nothing of the value itself."""
    match raw:
        case str():
            return "a string"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case dict():
            return "a table"
    return "a date or time"


def _allowed(annotation: Any, raw: object) -> str:
    kind = bare(inspect.type_info(annotation))
    match kind:
        case inspect.BoolType():
            return "allowed are true and false"
        case inspect.LiteralType():
            values = [
                str(value) for value in get_args(get_args(annotation)[0])
            ]  # in their order; kind.values is sorted
            return f"allowed are {', '.join(values[:-1])} and {values[-1]}{did_you_mean(raw, values)}"
        case inspect.IntType(ge=low, le=high):
            return f"allowed is a whole number from {low} to {high}"
        case inspect.FloatType(gt=None, ge=low, le=high):
            return f"allowed is a number from {low} to {high}"
        case inspect.FloatType(gt=low, le=high):
            return f"allowed is a number above {low}, up to {high}"
        case inspect.StrType(max_length=longest):
            return f"allowed is a string of 1 to {longest} characters"
    return f"allowed is a string of 1 to {LONGEST} bytes in UTF-8"


def _text(value: Any) -> Any:
    if isinstance(value, str) and _CONTROL.search(value):
        raise ValueError("allowed is text in UTF-8 without control characters")
    return value


def _broker_url(text: str) -> str:
    parse_broker(text)
    return text


def _levels(text: str) -> str:
    """Check one or more levels of a topic; raises ValueError."""
    if re.search("[+#]", text):
        raise ValueError("allowed are no + and no #")
    if "" in text.split("/"):
        raise ValueError("allowed is no / at the start, at the end, or behind another /")
    return text


def _base(text: str) -> str:
    # Topics that start with $ belong to the broker ($SYS, $share); nobody's # or + would see ours there.
    if text.startswith("$"):
        raise ValueError("allowed is no $ at the start")
    return _levels(text)


def _template(text: str) -> str:
    for placeholder in re.findall(r"\{([^{}]*)\}", text):
        if placeholder not in PLACEHOLDERS:
            meant = did_you_mean("{" + placeholder + "}", ["{" + name + "}" for name in PLACEHOLDERS])
            raise ValueError(f"allowed are {{name}}, {{id}}, {{short_id}}, {{project}} and {{service}}{meant}")
    plain = re.sub(r"\{[^{}]*\}", "x", text)
    if re.search("[{}]", plain):
        raise ValueError("allowed are { and } only around a placeholder")
    _levels(plain)
    return text


RULES: Mapping[str, Callable[[str], str]] = {
    "engine.url": parse_engine,
    "broker.url": _broker_url,
    "topics.base": _base,
    "topics.container": _template,
}
