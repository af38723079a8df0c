"""SIGHUP with mistakes in the configuration: they are told, and nothing changes. systemd is told of every reload."""

import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import FakeEngine

StartAgent = Callable[..., RunningAgent]
Record = Callable[..., RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]


def break_syntax(config: Path) -> str:
    config.write_text("[agent]\ninterval = 2\nlog_level =\n")
    return "line 3, column 12: is not TOML"


def remove(config: Path) -> str:
    config.unlink()
    return "cannot be read: No such file or directory"


def replace_by_directory(config: Path) -> str:
    config.unlink()
    config.mkdir()
    return "cannot be read: Is a directory"


def mistake_twice(config: Path) -> str:
    config.write_text(config.read_text().replace("interval = 1", 'interval = 0\nlog_level = "loud"'))
    return r"agent.interval is 0, allowed is .*\n.*agent.log_level is .?\"loud.?\", allowed are"


@pytest.mark.parametrize("spoil", [break_syntax, remove, replace_by_directory, mistake_twice])
def test_mistakes_change_nothing_and_are_told_in_full(
    fake_engine: FakeEngine,
    own_broker: OwnBroker,
    start_agent: StartAgent,
    record: Record,
    spoil: Callable[[Path], str],
) -> None:
    """The agent goes on with the configuration that it has, and a later reload of a good one takes effect."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    subscriber.usages("web")
    good = running.config.read_text()
    mistake = spoil(running.config)
    running.signal(signal.SIGHUP)
    running.wait_for_line("error .*reload: the configuration has mistakes, so nothing is changed")
    wait_until(lambda: re.search(mistake, running.log), PATIENCE, f"{mistake} is not told")
    subscriber.usages("web", after=time.monotonic(), count=3)
    if running.config.is_dir():
        running.config.rmdir()
    running.config.write_text(good)
    running.signal(signal.SIGHUP)
    running.wait_for_line("info .*reload: nothing has changed")
    assert subscriber.missing("web") == 0
    assert subscriber.agent("running")["interval"] == 1
    assert running.stop() == 0


def test_file_that_was_found_and_vanishes_is_a_mistake(
    fake_engine: FakeEngine, own_broker: OwnBroker, agent: Callable[..., RunningAgent]
) -> None:
    """A vanished `./config.toml` does not mean the defaults, though it was not named on the command line."""
    config = {"agent": {"host": "h"}, "engine": {"url": fake_engine.url}, "broker": {"url": own_broker().url}}
    running = agent(config, inside=("sh", "-c", 'exec "$1" "$2" "$3" "$4"', "sh"))
    running.wait_for_line("connected to")
    running.config.unlink()
    running.signal(signal.SIGHUP)
    running.wait_for_line("config.toml: cannot be read: No such file or directory")
    assert running.stop() == 0


def test_systemd_is_told_of_each_reload_even_if_it_fails(
    fake_engine: FakeEngine, start_agent: StartAgent, own_broker: OwnBroker, short_path: Path
) -> None:
    """RELOADING=1 with the moment by the monotonic clock, then READY=1 (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(short_path / "notify"))
        systemd.settimeout(PATIENCE)
        running = start_agent(fake_engine, own_broker(), environment={"NOTIFY_SOCKET": str(short_path / "notify")})
        _wait_for(systemd, "READY=1")
        for interval in (2, 0):
            before = time.monotonic_ns() // 1000
            running.reload(agent={"interval": interval})
            told = _wait_for(systemd, "RELOADING=1")
            assert before <= int(told.removeprefix("RELOADING=1\nMONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
            _wait_for(systemd, "READY=1")
        running.wait_for_line("reload: agent.interval takes effect")
        running.wait_for_line("agent.interval is 0")


def _wait_for(systemd: socket.socket, assignment: str) -> str:
    """Return the next notification that begins with an assignment."""
    while not (received := systemd.recv(4096).decode()).startswith(assignment):
        pass
    return received
