"""The program that a service starts: where it is, and whether the service may read it there.

The system's unit starts the agent as a user of its own, who may read what everybody may. It hides some directories from
it, too. A program in a directory of root, where pipx and uv put it by themselves, is not found from there (203/EXEC).
"""

import os
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import agent

HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # by ProtectHome= and PrivateTmp=
REMEDY = """\
Install the agent where every user can read it, for example, in a checkout, one of:
    python3 -m venv /opt/usage-agent && /opt/usage-agent/bin/pip install .
    PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install .
    UV_TOOL_DIR=/opt/uv UV_PYTHON_INSTALL_DIR=/opt/uv/python UV_TOOL_BIN_DIR=/usr/local/bin uv tool install .
or, for the rootless Docker or Podman of one user, run `usage-agent install-service --user` as that user."""


def find_program() -> list[str]:
    """Return the command that starts this program again, with absolute paths."""
    started = Path(sys.argv[0]).absolute()
    return [str(started)] if started.name == "usage-agent" else [sys.executable, "-m", "agent"]


def quote_command(command: Sequence[str]) -> str:
    """Return a command as a unit's ExecStart= takes it (systemd.service(5), "COMMAND LINES")."""
    return " ".join(map(_quote, command))


def _quote(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w@./+:-]+", word) else f'"{escaped}"'


def find_obstacle(command: Sequence[str]) -> str | None:
    """Return why the system's service could not run a command of ours, or None."""
    for path in (command[0], sys.executable, os.__file__, agent.__file__):
        for place in dict.fromkeys((Path(path).absolute(), Path(path).resolve())):
            if reason := _why_closed(place):
                return f"the service could not read {path}: {reason}\n{REMEDY}"
    return None


def _why_closed(path: Path) -> str | None:
    for hidden in HIDDEN:
        if path.is_relative_to(hidden):
            return f"the unit hides {hidden} from it"
    for part in (path, *path.parents):
        mode = part.stat().st_mode
        if not mode & (stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH):
            return f"{part} is closed to other users"
    return None
