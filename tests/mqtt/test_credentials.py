"""User name and password: where they come from, and that no error contains them."""

import subprocess
from pathlib import Path

import pytest
from support.daemons.mosquitto import Mosquitto

from agent.config import Secret
from agent.mqtt.errors import BrokerRefusedError
from mqtt.harness import OwnBroker, connect_error, probe_lines

PASSWORD = "correct horse/battery@staple"


@pytest.fixture
def locked_broker(own_broker: OwnBroker, short_path: Path) -> Mosquitto:
    """Give a broker that requires the password of the user `agent`."""
    file = short_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", file, "agent", PASSWORD], check=True, capture_output=True)
    return own_broker("allow_anonymous false", f"password_file {file}")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_password_may_come_from_three_places(locked_broker: Mosquitto, tmp_path: Path, protocol: str) -> None:
    """From broker.password, from a file that ends in a newline, or from the address, which has precedence."""
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    url = locked_broker.url
    url_with_login = url.replace("mqtt://", "mqtt://agent:correct%20horse%2Fbattery%40staple@")
    assert "accepts the agent" in probe_lines(url, protocol=protocol, username="agent", password=Secret(PASSWORD))[0]
    assert "accepts the agent" in probe_lines(url, protocol=protocol, username="agent", password_file=str(file))[0]
    assert (
        "accepts the agent"
        in probe_lines(url_with_login, protocol=protocol, username="other", password=Secret("wrong"))[0]
    )


@pytest.mark.parametrize("protocol", ["auto", "5", "3.1.1"])
def test_wrong_password_is_refused_without_being_shown(locked_broker: Mosquitto, protocol: str) -> None:
    """The remedy names the keys, and neither the error nor its cause contains the password."""
    error = connect_error(locked_broker.url, protocol=protocol, username="agent", password=Secret("wrong-secret"))
    assert isinstance(error, BrokerRefusedError)
    assert locked_broker.url in str(error)
    assert "broker.username" in str(error)
    assert "wrong-secret" not in f"{error!s}{error!r}{error.__cause__!r}"


def test_missing_password_file_is_named(broker: Mosquitto, tmp_path: Path) -> None:
    """The error for a missing password file names the file and its key."""
    error = connect_error(broker.url, password_file=f"{tmp_path}/none")
    assert f"broker.password_file: {tmp_path}/none" in str(error)
