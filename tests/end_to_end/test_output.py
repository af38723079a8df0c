"""The standard streams of the commands: closed, full, or in an encoding that lacks most characters."""

import re
from collections.abc import Callable

import pytest
from support.daemons.agent import RunningAgent
from support.fakes.engine import FakeEngine

Agent = Callable[..., RunningAgent]

ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


def redirected(redirection: str) -> list[str]:
    """Return the command that executes another one with a redirection of the shell."""
    return ["sh", "-c", f'exec "$@" {redirection}', "sh"]


def config(engine: FakeEngine) -> dict[str, dict[str, object]]:
    """Return a configuration for `run --dry-run`, with a host's name that is not ASCII."""
    return {"agent": {"host": "gerät", "interval": 1}, "engine": {"url": engine.url}}


def test_a_host_that_the_locale_cannot_encode_is_no_hindrance(fake_engine: FakeEngine, agent: Agent) -> None:
    """The agent publishes and is well, and `check` prints the name escaped."""
    fake_engine.run("web")
    running = agent(config(fake_engine), "run", "--dry-run", environment=ASCII)
    running.wait_for_line("engine .*, API")
    assert running.stop() == 0
    assert "Traceback" not in running.log
    check = agent(config(fake_engine), "check", environment=ASCII)
    check.wait()
    assert re.search(r"ok +configuration .*ger\\xe4t", "\n".join(check.output))


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_hindrance(fake_engine: FakeEngine, agent: Agent, closed: str) -> None:
    """No stream is written to in their place: a socket might have got the number of one."""
    fake_engine.run("web")
    running = agent(config(fake_engine), "run", "--dry-run", "--once", inside=redirected(closed))
    assert running.wait(60) == 0
    assert "Traceback" not in running.log


@pytest.mark.parametrize("command", [("schema",), ("check",), ("health",), ("run", "--dry-run")])
def test_a_full_disk_is_an_error(fake_engine: FakeEngine, agent: Agent, command: tuple[str, ...]) -> None:
    """It is one line, and exit code 1."""
    running = agent(config(fake_engine), *command, inside=redirected(">/dev/full"))
    assert running.wait(60) == 1
    assert "standard output cannot be written: No space left on device" in running.log
    assert "Traceback" not in running.log
