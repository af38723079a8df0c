"""Only the broker receives the password: no error and no log level shows it."""

import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.fakes.scripted_broker import CONNECT, ScriptedBroker

from agent.config import BrokerSettings
from agent.mqtt.tls import create_context

PASSWORD = "Zq9/hunter2:Xw7 é"
FORMS = (PASSWORD, quote(PASSWORD, safe=""), repr(PASSWORD)[1:-1], PASSWORD.encode().hex())

Start = Callable[..., RunningAgent]
Broker = dict[str, Any]


def password_in_key(url: str, _: Path) -> Broker:
    """Return a configuration with the password in the key `password`."""
    return {"url": url, "username": "user", "password": PASSWORD}


def password_in_url(url: str, _: Path) -> Broker:
    """Return a configuration with the password in the address."""
    return {"url": url.replace("://", f"://user:{quote(PASSWORD, safe='')}@")}


def password_in_file(url: str, directory: Path) -> Broker:
    """Return a configuration with the password in a file that only its owner can read."""
    file = directory / "password"
    file.touch(mode=0o600)
    file.write_text(PASSWORD + "\n")
    return {"url": url, "username": "user", "password_file": str(file)}


def visible_text(running: RunningAgent) -> str:
    """Return everything that the agent shows: log, output and command line."""
    command = Path(f"/proc/{running.pid}/cmdline").read_bytes().decode() if running.running else ""
    return "\n".join([running.log, *running.output, command])


@pytest.mark.parametrize("way", [password_in_key, password_in_url, password_in_file])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_password_is_shown_when_the_broker_refuses_it(
    agent: Start, own_broker: Callable[..., Mosquitto], short_path: Path, way: Callable[..., Broker], log_format: str
) -> None:
    """The password is neither in the log at level debug nor in the process list."""
    (short_path / "none").touch()
    broker = own_broker("allow_anonymous false", f"password_file {short_path}/none")
    logging = {"log_level": "debug", "log_format": log_format}
    running = agent({"agent": logging, "broker": way(broker.url, short_path), "engine": {"url": "unix:///nowhere"}})
    running.wait_for_line("refuses the agent")
    assert not [form for form in FORMS if form in visible_text(running)]
    running.stop()
    assert not [form for form in FORMS if form in visible_text(running)]


@pytest.mark.parametrize("way", [password_in_key, password_in_url, password_in_file])
def test_no_password_is_shown_by_check(agent: Start, short_path: Path, way: Callable[..., Broker]) -> None:
    """`check` prints the address without the password."""
    config = {"broker": way("mqtt://127.0.0.1:1", short_path), "engine": {"url": "unix:///nowhere"}}
    running = agent(config, "check")
    assert running.wait() == 3
    assert "127.0.0.1:1" in "\n".join(running.output)
    assert not [form for form in FORMS if form in visible_text(running)]


@pytest.mark.parametrize(
    "keys",
    [
        {"password": PASSWORD, "pasword": PASSWORD},
        {"url": f"mqtt://user:{PASSWORD}@host"},
        {"url": f"mqqt://user:{quote(PASSWORD, safe='')}@host"},
        {"url": f"mqtt://user:{quote(PASSWORD, safe='')}"},
        {"url": [f"mqtt://u:{quote(PASSWORD, safe='')}@host:99999", 7]},
        {"password": [PASSWORD]},
        {"password": PASSWORD, "password_file": "/nowhere"},
    ],
)
def test_no_password_is_shown_when_the_configuration_is_wrong(agent: Start, keys: Broker) -> None:
    """A mistake in a password or next to it is reported without the password."""
    running = agent({"broker": keys}, "check")
    assert running.wait() == 2
    assert running.lines
    assert not [form for form in FORMS if form in visible_text(running)]


def test_broker_certificate_is_verified_by_default() -> None:
    """Certificate and host name of the broker are verified by default; TLS is 1.2 or newer."""
    made = create_context(BrokerSettings())
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_no_password_is_shown_by_a_crash(agent: Start, scripted_broker: ScriptedBroker) -> None:
    """Python's dump of a crash shows source lines without values, and the kernel writes no core dump."""
    environment = {"USAGE_AGENT_BROKER__USERNAME": "user", "USAGE_AGENT_BROKER__PASSWORD": PASSWORD}
    environment["PYTHONFAULTHANDLER"] = "1"
    config = {
        "agent": {"log_level": "debug"},
        "broker": {"url": scripted_broker.url},
        "engine": {"url": "unix:///nowhere"},
    }
    running = agent(config, environment=environment)
    assert PASSWORD.encode() in scripted_broker.wait_for(CONNECT)[0].body
    limits = Path(f"/proc/{running.pid}/limits").read_text().splitlines()
    assert [line.split()[4:6] for line in limits if line.startswith("Max core file size")] == [["0", "0"]]
    running.signal(signal.SIGABRT)
    # Other threads keep running while the dump is written, so it may end in a segmentation fault.
    assert running.wait() in (-signal.SIGABRT, -signal.SIGSEGV)
    assert "Fatal Python error: Aborted" in running.log
    assert not [form for form in FORMS if form in visible_text(running)]
