"""The competitors that are Python packages, each in a virtual environment of its own in the user's cache."""

import enum
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.progress import log_progress


class Competitor(enum.Enum):
    """Requirements to install, with the exact version that is compared."""

    DOCKER2MQTT = ("docker2mqtt==2.3.1",)
    GLANCES = ("glances[containers]==4.5.8", "paho-mqtt>=2.1,<3", "certifi")


@cache
def install(competitor: Competitor) -> Path:
    """Install a competitor, unless it is installed already. Return the directory of its commands."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache_home / "usage-agent-bench" / competitor.name.lower()
    stamp = directory / ".installed"
    requirements = "\n".join(competitor.value)
    if not stamp.exists() or stamp.read_text() != requirements:
        log_progress(f"installing {competitor.value[0]} in {directory}")
        _run(sys.executable, "-m", "venv", "--clear", str(directory))
        _run(str(directory / "bin/python"), "-m", "pip", "install", "--quiet", *competitor.value)
        stamp.write_text(requirements)
    return directory / "bin"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603  # venv and pip
