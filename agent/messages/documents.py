"""Reading payloads that anybody may have published. Pure."""

from collections.abc import Mapping

import orjson


def read_object(payload: bytes) -> Mapping[str, object]:
    """Return the JSON object in a payload; an empty one if it holds no object, as an empty payload does."""
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
