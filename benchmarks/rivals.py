"""The rivals from the package index, each in a virtual environment of its own under the user's cache."""

import enum
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.progress import say


class Rival(enum.Enum):
    """What to install, by the exact versions that are compared."""

    DOCKER2MQTT = ("docker2mqtt==2.3.1",)
    GLANCES = ("glances[containers]==4.5.8", "paho-mqtt>=2.1,<3", "certifi")


@cache
def installed(rival: Rival) -> Path:
    """Return the directory of its commands; install it the first time."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache_home / "usage-agent-bench" / rival.name.lower()
    stamp = place / ".installed"
    recipe = "\n".join(rival.value)
    if not stamp.exists() or stamp.read_text() != recipe:
        say(f"installing {recipe.splitlines()[0]} in {place}")
        _run(sys.executable, "-m", "venv", "--clear", str(place))
        _run(str(place / "bin/python"), "-m", "pip", "install", "--quiet", *rival.value)
        stamp.write_text(recipe)
    return place / "bin"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603  # pip and venv
