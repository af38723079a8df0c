"""Converts each value to its key's type, and describes wrong values without showing secrets."""

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec
from msgspec import inspect

from agent.config.fields import Key, WrongValueError, did_you_mean, unwrap
from agent.config.secret import MAX_PASSWORD_BYTES, Secret
from agent.config.urls import EMBEDDED, masked, parse_broker, parse_engine, parse_listen
from agent.runtime.text import quote

PLACEHOLDERS = ("name", "id", "short_id", "project", "service")

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def convert(key: Key, raw: object) -> Any:
    """Convert a value as TOML has it to the type of `key`.

    Raises:
        WrongValueError: the value is not allowed; with every mistake in it.
    """
    if key.path == "broker.protocol" and type(raw) is int:
        raw = str(raw)
    if not isinstance(key.kind, inspect.VarTupleType):
        return _convert_one(key, key.path, key.annotation, raw)
    item_type = get_args(get_args(key.annotation)[0])[0]
    if key.path == "broker.url" and isinstance(raw, str):
        return (_convert_one(key, key.path, item_type, raw),)
    if not isinstance(raw, list):
        raise WrongValueError(f"{key.path} is {_shown(key, raw)}, allowed is an array of strings")
    values: list[Any] = []
    mistakes: list[str] = []
    for index, item in enumerate(raw):
        try:
            values.append(_convert_one(key, f"{key.path}[{index}]", item_type, item))
        except WrongValueError as wrong:
            mistakes += wrong.args
    if key.path == "broker.url" and not raw:
        mistakes.append("broker.url is an empty array, allowed is at least one address")
    if key.path == "broker.url" and EMBEDDED in raw and len(raw) > 1:
        mistakes.append(f"broker.url is a list with {EMBEDDED} in it, allowed is {EMBEDDED} alone")
    if mistakes:
        raise WrongValueError(*mistakes)
    return tuple(values)


def describe_type(raw: object) -> str:
    """Return the TOML type of `raw`, with an article, and nothing of the value itself."""
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


def _convert_one(key: Key, path: str, annotation: Any, raw: object) -> Any:
    try:
        value = msgspec.convert(raw, annotation, dec_hook=_decode_secret)
    except msgspec.ValidationError:
        raise WrongValueError(f"{path} is {_shown(key, raw)}, {_allowed(annotation, raw)}") from None
    try:
        check = CHECKS.get(key.path)
        return _check_text(value) if check is None else check(_check_text(value))
    except ValueError as error:
        raise WrongValueError(f"{path} is {_shown(key, raw)}, {error}") from None


def _decode_secret(_: type[Any], raw: object) -> Secret:
    if isinstance(raw, str) and not _SURROGATE.search(raw) and 0 < len(raw.encode()) <= MAX_PASSWORD_BYTES:
        return Secret(raw)
    raise TypeError


def _shown(key: Key, raw: object) -> str:
    """Return the wrong value as an error may show it: never a secret, and only the type of tables and arrays."""
    if isinstance(key.kind, inspect.CustomType):
        return describe_type(raw)
    match raw:
        case str():
            return quote(masked(raw) if key.name == "url" else raw)
        case bool():
            return str(raw).lower()
        case float():
            return repr(raw)
        case int() if raw.bit_length() <= 64:  # Python refuses to convert very long integers to text
            return str(raw)
    return describe_type(raw)


def _allowed(annotation: Any, raw: object) -> str:
    kind = unwrap(inspect.type_info(annotation))
    match kind:
        case inspect.BoolType():
            return "allowed are true and false"
        case inspect.LiteralType():
            # In the order of the definition; `kind.values` is sorted.
            values = [str(value) for value in get_args(get_args(annotation)[0])]
            return f"allowed are {', '.join(values[:-1])} and {values[-1]}{did_you_mean(raw, values)}"
        case inspect.IntType(ge=minimum, le=maximum):
            return f"allowed is a whole number from {minimum} to {maximum}"
        case inspect.FloatType(gt=None, ge=minimum, le=maximum):
            return f"allowed is a number from {minimum} to {maximum}"
        case inspect.FloatType(gt=lower_bound, le=maximum):
            return f"allowed is a number above {lower_bound}, up to {maximum}"
        case inspect.StrType(max_length=max_length):
            return f"allowed is a string of 1 to {max_length} characters"
    return f"allowed is a string of 1 to {MAX_PASSWORD_BYTES} bytes in UTF-8"


def _check_text(value: Any) -> Any:
    if isinstance(value, str) and _CONTROL.search(value):
        raise ValueError("allowed is text in UTF-8 without control characters")
    return value


def _check_broker_url(text: str) -> str:
    parse_broker(text)
    return text


def _check_listen(text: str) -> str:
    parse_listen(text)
    return text


def _check_levels(text: str) -> str:
    if re.search("[+#]", text):
        raise ValueError("allowed is text without + and #")
    if "" in text.split("/"):
        raise ValueError("allowed is text without a / at the start, at the end, or after another /")
    return text


def _check_base(text: str) -> str:
    # Topics that start with $ belong to the broker ($SYS, $share), and the filters # and +/… do not match them
    # (MQTT 5, section 4.7.2).
    if text.startswith("$"):
        raise ValueError("allowed is text without a $ at the start")
    return _check_levels(text)


def _check_template(text: str) -> str:
    for placeholder in re.findall(r"\{([^{}]*)\}", text):
        if placeholder not in PLACEHOLDERS:
            meant = did_you_mean("{" + placeholder + "}", ["{" + name + "}" for name in PLACEHOLDERS])
            raise ValueError(f"allowed are {{name}}, {{id}}, {{short_id}}, {{project}} and {{service}}{meant}")
    filled = re.sub(r"\{[^{}]*\}", "x", text)
    if re.search("[{}]", filled):
        raise ValueError("allowed are { and } only around a placeholder")
    _check_levels(filled)
    return text


CHECKS: Mapping[str, Callable[[str], str]] = {
    "engine.url": parse_engine,
    "broker.url": _check_broker_url,
    "topics.base": _check_base,
    "topics.container": _check_template,
    "home_assistant.prefix": _check_base,
    "web.listen": _check_listen,
}
"""Checks that a key's type does not make, by key. Each returns the value to use, or raises ValueError."""
