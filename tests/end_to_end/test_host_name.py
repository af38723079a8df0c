"""The host name of a container that was started without one: its id, which changes."""

from collections.abc import Callable

import pytest
from support.daemons.agent import RunningAgent
from support.fakes.engine import FakeEngine

NAMED = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"')
ID = "0123456789ab"
WARNING = f"agent.host is {ID}, the id of the agent's own container: .*--hostname, or set USAGE_AGENT_AGENT__HOST"
# As Podman sets it. Docker makes a file instead; on this machine there may be one.
CONTAINER = {"container": "podman"}

Agent = Callable[..., RunningAgent]

pytestmark = pytest.mark.root


def test_container_id_as_host_name_is_warned_of(agent: Agent, fake_engine: FakeEngine) -> None:
    """In a container without `--hostname` the log and `check` warn, and name both remedies."""
    engine = {"engine": {"url": fake_engine.url}}
    inside = [*NAMED, ID]
    running = agent(engine, "run", "--dry-run", environment=CONTAINER, inside=inside)
    running.wait_for_line(f"warning service: {WARNING}")
    assert running.stop() == 0
    checked = agent(engine, "check", environment=CONTAINER, inside=inside)
    checked.wait_for_line(f"^warn +configuration +{WARNING}", output=True)
    checked.wait()


@pytest.mark.parametrize(("name", "host"), [("pi4", None), (ID, "pi4"), ("pi4", ID)])
def test_host_name_of_its_own_is_not_warned_of(
    agent: Agent, fake_engine: FakeEngine, name: str, host: str | None
) -> None:
    """A container with `--hostname`, and a configured name of whatever kind, are what somebody wanted."""
    config = {"engine": {"url": fake_engine.url}, "agent": {"host": host} if host else {}}
    running = agent(config, "run", "--dry-run", environment=CONTAINER, inside=[*NAMED, name])
    running.wait_for_line(f"usage-agent .*: {host or name} every")
    running.wait_for_line("engine .*, API")
    assert running.stop() == 0
    assert "own container" not in running.log
