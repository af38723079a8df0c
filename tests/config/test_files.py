"""The configuration file: where it is looked for, and what is reported if it cannot be used."""

from pathlib import Path

import pytest

from agent.config import DEFAULT_PATHS, ConfigError, find, load


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[agent]\nhost = \n", "line 2, column 8: is not TOML: Invalid value"),
        (b"[agent", "line 1, column 7: is not TOML: Expected ']' at the end of a table declaration"),
        (b"[agent]\nhost = '\xe4'", "line 2, column 9: is not valid UTF-8, allowed is text in UTF-8"),
        (b"a = " + b"[" * 100_000, "is nested too deeply, allowed are tables of keys"),
        (b"a = " + b"9" * 5000, "is not TOML: a value cannot be read"),
        (b"#" * 2_000_000, "is larger than 1048576 bytes, allowed is a TOML file with the keys of the configuration"),
    ],
)
def test_a_syntax_error_is_reported_with_line_and_column(content: bytes, line: str) -> None:
    """Mistakes in the environment are reported as well."""
    Path("file.toml").write_bytes(content)
    with pytest.raises(ConfigError) as error:
        load(Path("file.toml"), {"USAGE_AGENT_BROKER__QOS": "9"})
    assert str(error.value).split("\n") == [
        f"file.toml: {line}",
        "USAGE_AGENT_BROKER__QOS: broker.qos is 9, allowed are 0, 1 and 2",
    ]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("none.toml", "No such file or directory"), ("/", "Is a directory"), ("\0", "not a path")],
)
def test_a_file_that_cannot_be_read_is_a_mistake(path: str, reason: str) -> None:
    """A file named with --config must exist and be readable."""
    with pytest.raises(ConfigError, match=rf"cannot be read: {reason}$"):
        load(Path(path), {})


def test_a_file_with_a_byte_order_mark_is_read() -> None:
    """Some editors on Windows write one."""
    Path("file.toml").write_bytes(b"\xef\xbb\xbf[agent]\nhost = 'h'")
    assert load(Path("file.toml"), {}).agent.host == "h"


def test_without_a_path_the_first_default_path_that_exists_is_read() -> None:
    """That is ./config.toml, then /etc/usage-agent/config.toml. A dangling link exists, and is reported."""
    assert tuple(map(str, DEFAULT_PATHS)) == ("config.toml", "/etc/usage-agent/config.toml")
    first, second = Path("first.toml"), Path("second.toml")
    assert find((first, second)) is None
    second.touch()
    assert find((first, second)) == second
    first.symlink_to("nowhere")
    assert find((first, second)) == first
    Path("config.toml").write_text("agent.host = 'here'")
    assert load(None, {}).agent.host == "here"
