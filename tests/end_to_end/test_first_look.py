"""`scripts/run` as somebody sees it who tries the agent for the first time."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemons.network import Network
from support.daemons.processes import end_with_parent
from support.fakes.engine import FakeEngine

SCRIPT = Path(__file__).parents[2] / "scripts/first_look.py"


@pytest.mark.slow
def test_first_usage_is_shown(network: Network, fake_engine: FakeEngine, short_path: Path) -> None:
    """Where there is no broker one is started, and the first usage that is shown is the first one there is."""
    fake_engine.run("web")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("USAGE_AGENT_", "DOCKER"))}
    environment |= {"USAGE_AGENT_ENGINE__URL": fake_engine.url, "USAGE_AGENT_AGENT__HOST": "pi4"}
    environment["PYTHONPATH"] = str(SCRIPT.parents[1])
    command = [*network.at_agent, *end_with_parent([sys.executable, str(SCRIPT)], "TERM")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=short_path, env=environment) as looking:
        assert looking.stdout is not None
        try:
            usage = next((line for line in looking.stdout if "/usage " in line), "")
        finally:
            looking.send_signal(signal.SIGTERM)
            rest = looking.stdout.read()
    topic, _, payload = usage.partition(" ")
    assert (topic, json.loads(payload)["seq"]) == ("containers/pi4/web/usage", 1)
    assert '"reason":"exit"' in rest
