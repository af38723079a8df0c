"""The library that guesses encodings stays out of the agent's memory, and importing the agent changes nothing else."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
from support.fakes.engine import FakeEngine

IMPORTS = """if True:
    import sys
    from agent.engine.charset import skip_charset_detection
    skip_charset_detection()
    import requests.compat
    from agent.engine.client import EngineClient
    assert requests.compat.chardet is None
    assert "charset_normalizer" not in sys.modules
"""


def run_python(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_requests_is_imported_without_detection_and_silently() -> None:
    """`requests` neither loads the library nor warns that it is missing, and `sys.modules` is left as it was."""
    done = run_python("-c", IMPORTS)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_package_hides_no_module() -> None:
    """Other programs may import `agent` and use charset_normalizer."""
    done = run_python("-c", "import sys, agent; assert 'charset_normalizer' not in sys.modules")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [("run", "--once", "--dry-run"), ("check",)], ids=lambda command: command[0])
def test_commands_that_use_the_engine_skip_detection(fake_engine: FakeEngine, command: Sequence[str]) -> None:
    """`run` and `check` load `requests`, and none of the library's own modules."""
    fake_engine.run("web")
    environment = os.environ | {
        "USAGE_AGENT_ENGINE__URL": fake_engine.url,
        "USAGE_AGENT_BROKER__URL": "embedded",
        "USAGE_AGENT_AGENT__INTERVAL": "1",
    }
    done = run_python("-X", "importtime", "-m", "agent", *command, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "requests.adapters" in imported
    assert not [name for name in imported if name.startswith("charset_normalizer.")]
