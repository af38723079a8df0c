"""Secrets are never shown, and are read again from their file at each connect."""

import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.config import Address, BrokerSettings, Config, ConfigError, Secret, read_password

WORD = "Zq9-hunter2-Xw7"


def test_a_secret_is_returned_by_reveal_only() -> None:
    """It is not in str, repr, formatted text, an address, the settings, or text made of them."""
    secret = Secret(WORD)
    broker = BrokerSettings(url=(f"mqtt://user:{WORD}@host",), password=secret)
    shown = [f"{secret} {secret!r}", str(secret), repr([secret]), repr(broker)]
    shown += [str(broker.addresses[0]), repr(broker.addresses), repr(Config(broker=broker)), str(broker.url)]
    assert all(WORD not in text for text in shown)
    assert secret.reveal() == WORD
    assert broker.addresses == (Address("mqtt", "host", 1883, "", "user", secret),)


def test_a_secret_cannot_be_serialized() -> None:
    """Neither as JSON nor by pickle."""
    with pytest.raises(TypeError):
        msgspec.json.encode(BrokerSettings(password=Secret(WORD)))
    with pytest.raises(TypeError):
        pickle.dumps(Secret(WORD))


def test_a_copy_of_the_settings_keeps_the_credentials_of_its_url() -> None:
    """A copy with another keepalive has the same credentials, a copy with another url has none."""
    broker = BrokerSettings(url=(f"mqtt://user:{WORD}@host",))
    assert msgspec.structs.replace(broker, keepalive=5).addresses == broker.addresses
    assert msgspec.structs.replace(broker, url=("mqtt://other",)).addresses == (Address("mqtt", "other", 1883),)


def test_a_password_file_is_read_at_each_call(tmp_path: Path) -> None:
    """It may be replaced while the agent runs. One newline at its end is not part of the password."""
    file = tmp_path / "password"
    file.touch(mode=0o600)
    settings = BrokerSettings(password_file=str(file))
    contents = {b"one\n": "one", b"two": "two", b"three\n\n": "three\n", b"four\r\n": "four", b"five\r": "five\r"}
    contents |= {"\ufeffsix\n".encode(): "six"}
    for content, password in contents.items():
        file.write_bytes(content)
        assert read_password(settings) == Secret(password)
    assert read_password(BrokerSettings(password=Secret(WORD))) == Secret(WORD)
    assert read_password(BrokerSettings()) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\n", "is empty"),
        (WORD.encode() + b"\xff", "is not text in UTF-8"),
        (WORD.encode() * 5000, "is longer than 65535 bytes"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_a_mistake(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """The error names the file and the reason, and contains nothing of the file."""
    file = tmp_path / "password"
    if content is not None:
        file.touch(mode=0o600)
        file.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_password(BrokerSettings(password_file=str(file)))
    assert str(error.value) == f"broker.password_file: {file} {reason}"
    assert WORD not in "".join(traceback.format_exception(error.value))


def test_a_world_readable_password_file_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, expected_warnings: Callable[..., None]
) -> None:
    """The warning names the remedy, and is not repeated at each connect."""
    expected_warnings("every user can read")
    file = tmp_path / "password"
    file.write_text(WORD)
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        read_password(BrokerSettings(password_file=str(file)))
        read_password(BrokerSettings(password_file=str(file)))
    [record] = [record for record in caplog.records if record.name == "agent.config.secret"]
    assert record.getMessage() == f"{file} holds a password that every user can read (mode 0644): chmod 600 it"
