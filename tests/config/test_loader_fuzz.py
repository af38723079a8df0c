"""Any configuration is either loaded or reported as mistakes, and no secret in it is ever shown."""

import json
import tempfile
import traceback
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import ConfigError, load
from agent.config.fields import KEYS
from agent.runtime.text import escape

SECRET = "Zq9-hunter2-Xw7"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
table_names = st.sampled_from(sorted({key.table for key in KEYS.values()})) | text
key_names = st.sampled_from(sorted({key.name for key in KEYS.values()})) | text
addresses = st.tuples(
    st.sampled_from(["mqtt", "mqtts", "ws", "unix", "tcp", "ssh", "embedded", "", "["]) | text,
    st.sampled_from(["://", ":/", "//", ":", ""]),
    text,
    st.sampled_from(["@host", "@host:1883", "@[::1]:1", "@", "@host,mqtt://b"]) | text.map("@{}".format),
).map(lambda parts: f"{parts[0]}{parts[1]}{parts[2]}:{SECRET}{parts[3]}")
forgotten_host = st.sampled_from(["mqtt", "wss"]).map(lambda scheme: f"{scheme}://user:{SECRET}")
urls = addresses | forgotten_host
passwords = text.map(lambda more: SECRET + more)
values = st.recursive(
    text | st.integers() | st.floats() | st.booleans() | st.dates() | st.times() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


def planted(secret: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Generate a secret where it belongs, or inside a value of a wrong type."""
    return (
        secret | st.lists(secret, max_size=3) | st.dictionaries(text, secret, max_size=2) | secret.map(lambda s: [[s]])
    )


documents = st.tuples(
    st.dictionaries(table_names, st.dictionaries(key_names, values, max_size=4) | values, max_size=4),
    st.fixed_dictionaries(
        {}, optional={"url": planted(urls), "password": planted(passwords), "pasword": passwords, "qos": values}
    ),
    st.fixed_dictionaries({}, optional={"url": planted(urls)}),
).map(lambda parts: {**parts[0], **{"broker": parts[1], "engine": parts[2]}})

any_text = st.text(max_size=12)  # with single surrogates: bytes of the environment that are not UTF-8
environments = st.tuples(
    st.dictionaries(
        st.sampled_from([key.variable for key in KEYS.values()]) | any_text.map("USAGE_AGENT_{}".format),
        any_text | values.map(str),
        max_size=5,
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "USAGE_AGENT_BROKER__URL": urls | st.lists(urls).map(",".join) | st.lists(urls).map(json.dumps),
            "USAGE_AGENT_BROKER__PASSWORD": passwords,
            "USAGE_AGENT_BROKER_PASSWORD": passwords,
            "USAGE_AGENT_ENGINE__URL": urls,
            "DOCKER_HOST": urls,
        },
    ),
).map(lambda parts: parts[0] | parts[1])


def toml(value: Any) -> str:
    """Return a value as TOML."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{toml(key)} = {toml(inner)}' for key, inner in value.items())}}}"
        case date() | time() | datetime():
            return value.isoformat()
    return repr(value)


def outcome(content: bytes, environment: Mapping[str, str]) -> str:
    """Return everything that is visible after loading: the configuration, or the error with its traceback."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.toml"
        path.write_bytes(content)
        try:
            return repr(load(path, environment))
        except ConfigError as error:
            lines = str(error).split("\n")
            assert all(line == escape(line) and ": " in line for line in lines), lines
            return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.slow
@settings(deadline=None)
@given(documents, environments)
def test_any_document_and_environment_is_loaded_or_reported_without_its_secrets(
    document: dict[str, Any], environment: dict[str, str]
) -> None:
    """The result is a Config, or a ConfigError whose lines are printable and name their place."""
    content = "\n".join(f"{toml(key)} = {toml(value)}" for key, value in document.items())
    assert SECRET not in outcome(content.encode(), environment)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text("[]{}='\".#\n abc0", max_size=40).map(str.encode))
def test_any_file_is_loaded_or_reported(content: bytes) -> None:
    """A file of random bytes ends in a ConfigError, and in no other exception."""
    assert outcome(content, {})
