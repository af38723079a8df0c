"""A password is seen by the broker and by nobody else, whatever goes wrong and however much is logged."""

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

WORD = "Zq9/hunter2:Xw7 é"
SHOWN = (WORD, quote(WORD, safe=""), repr(WORD)[1:-1], WORD.encode().hex())

Start = Callable[..., RunningAgent]
Broker = dict[str, Any]


def in_the_key(url: str, _: Path) -> Broker:
    """The password in its key."""
    return {"url": url, "username": "user", "password": WORD}


def in_the_address(url: str, _: Path) -> Broker:
    """The password in the address."""
    return {"url": url.replace("://", f"://user:{quote(WORD, safe='')}@")}


def in_a_file(url: str, directory: Path) -> Broker:
    """The password in a file, readable by its owner only."""
    file = directory / "password"
    file.touch(mode=0o600)
    file.write_text(WORD + "\n")
    return {"url": url, "username": "user", "password_file": str(file)}


def seen(running: RunningAgent) -> str:
    """Everything that the agent shows: log, output, command line, the files it keeps."""
    command = Path(f"/proc/{running.pid}/cmdline").read_bytes().decode() if running.running else ""
    return "\n".join([running.log, *running.output, command])


@pytest.mark.parametrize("way", [in_the_key, in_the_address, in_a_file])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_broker_refuses_the_password(
    agent: Start, own_broker: Callable[..., Mosquitto], short_path: Path, way: Callable[..., Broker], log_format: str
) -> None:
    """Not in the log at its most talkative, nor in the process list."""
    (short_path / "none").touch()
    broker = own_broker("allow_anonymous false", f"password_file {short_path}/none")
    logging = {"log_level": "debug", "log_format": log_format}
    running = agent({"agent": logging, "broker": way(broker.url, short_path), "engine": {"url": "unix:///nowhere"}})
    running.wait_for_line("refuses the agent")
    assert not [form for form in SHOWN if form in seen(running)]
    running.stop()
    assert not [form for form in SHOWN if form in seen(running)]


@pytest.mark.parametrize("way", [in_the_key, in_the_address, in_a_file])
def test_check_tells_what_does_not_work(agent: Start, short_path: Path, way: Callable[..., Broker]) -> None:
    """Not in what `check` prints."""
    config = {"broker": way("mqtt://127.0.0.1:1", short_path), "engine": {"url": "unix:///nowhere"}}
    running = agent(config, "check")
    assert running.wait() == 3
    assert "127.0.0.1:1" in "\n".join(running.output)
    assert not [form for form in SHOWN if form in seen(running)]


@pytest.mark.parametrize(
    "keys",
    [
        {"password": WORD, "pasword": WORD},
        {"url": f"mqtt://user:{WORD}@host"},
        {"url": f"mqqt://user:{quote(WORD, safe='')}@host"},
        {"url": f"mqtt://user:{quote(WORD, safe='')}"},
        {"url": [f"mqtt://u:{quote(WORD, safe='')}@host:99999", 7]},
        {"password": [WORD]},
        {"password": WORD, "password_file": "/nowhere"},
    ],
)
def test_the_configuration_is_wrong(agent: Start, keys: Broker) -> None:
    """A mistake beside a password, or in one, is told without it."""
    running = agent({"broker": keys}, "check")
    assert running.wait() == 2
    assert running.lines
    assert not [form for form in SHOWN if form in seen(running)]


def test_the_broker_must_prove_who_it_is() -> None:
    """Unless told otherwise the broker's certificate and name are verified; TLS is 1.2 or newer."""
    made = create_context(BrokerSettings())
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_crash(agent: Start, scripted_broker: ScriptedBroker) -> None:
    """Python's own dump of a crash shows places and no values, and the kernel writes no core."""
    environment = {"USAGE_AGENT_BROKER__USERNAME": "user", "USAGE_AGENT_BROKER__PASSWORD": WORD}
    environment["PYTHONFAULTHANDLER"] = "1"
    config = {
        "agent": {"log_level": "debug"},
        "broker": {"url": scripted_broker.url},
        "engine": {"url": "unix:///nowhere"},
    }
    running = agent(config, environment=environment)
    assert WORD.encode() in scripted_broker.wait_for(CONNECT)[0].body
    limits = Path(f"/proc/{running.pid}/limits").read_text().splitlines()
    assert [line.split()[4:6] for line in limits if line.startswith("Max core file size")] == [["0", "0"]]
    running.signal(signal.SIGABRT)
    # The dump is made beside threads that go on: it may end in a segmentation fault half way.
    assert running.wait() in (-signal.SIGABRT, -signal.SIGSEGV)
    assert "Fatal Python error: Aborted" in running.log
    assert not [form for form in SHOWN if form in seen(running)]
