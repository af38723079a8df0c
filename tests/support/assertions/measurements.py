"""Invariants of every usage, whatever its readings were."""

import math
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no types of its own

from agent.messages.payloads import Measurements, schema


def _strict_schema() -> dict[str, Any]:
    """Return the schema of Measurements in a strict form: fields without a definition are refused."""
    whole = schema()
    usage = whole["$defs"]["Usage"]
    for name in ("host", "container", "seq"):
        del usage["properties"][name]
        usage["required"].remove(name)
    for definition in whole["$defs"].values():
        definition["additionalProperties"] = False
    return {**usage, "$defs": whole["$defs"]}


VALIDATOR = jsonschema.Draft202012Validator(_strict_schema())


def assert_possible(measurements: Measurements) -> None:
    """Fail if measurements have an undefined field, or a value that is impossible for a container."""
    VALIDATOR.validate(measurements)
    assert all(math.isfinite(number) and number >= 0 for number in _numbers(measurements))


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for each in value.values() for number in _numbers(each)]
    return [value] if isinstance(value, int | float) else []
