"""Fixtures that boot machines with systemd and the agent."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemons.dockerd import PrivateEngine

from systemd.machine import Machine, install

Boot = Callable[..., Machine]

CONFIG = """
[agent]
host = "box"
interval = 1
[backoff]
base = 0.5
cap = 1
[broker]
url = "mqtt://127.0.0.1:{port}"
"""


@pytest.fixture(scope="session")
def installed(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> PrivateEngine:
    """Return the engine with the image of a machine that has the agent installed."""
    install(engine, tmp_path_factory.mktemp("installed"))
    return engine


@pytest.fixture
def boot(installed: PrivateEngine, short_path: Path) -> Boot:
    """Return a function that boots machines: `boot(port, 'username = "box"', password="secret", WatchdogSec=5)`."""

    def make(port: int, login: str = "", password: str | None = None, **settings: object) -> Machine:
        machine = Machine(installed, short_path / "machine")
        machine.write("config/config.toml", CONFIG.format(port=port) + login)
        if password is not None:
            machine.write("credstore/usage-agent.broker-password", f"{password}\n")
        settings = {"RestartSec": "100ms"} | settings
        machine.write("drop-ins/test.conf", "[Service]\n" + "".join(f"{key}={settings[key]}\n" for key in settings))
        machine.boot()
        return machine

    return make
