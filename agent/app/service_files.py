"""The files of a service: which there are, where they belong and what is in them.

The units come from the directory `systemd/` of the repository, and the configuration is its `config.toml`. The wheel
has both in `agent/data`.
"""

import grp
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import agent
from agent.app.service_program import quote_command

MARK = "# Written by `usage-agent install-service`, which replaces and removes this file."
PROGRAM = "/opt/usage-agent/bin/usage-agent"  # in the units as they are shipped
UNIT, TEMPLATE = "usage-agent.service", "usage-agent@.service"
DOCKER = "docker.conf"


@dataclass(frozen=True)
class Scope:
    """Whose systemd the service belongs to.

    Attributes:
        units: directory of the units.
        config: the service's configuration.
        systemctl: the command that talks to this systemd.
        user: whether it is a user's, and not the system's.
    """

    units: Path
    config: Path
    systemctl: tuple[str, ...]
    user: bool

    @property
    def own_paths(self) -> list[Path]:
        """Every file that the command may have written, except the configuration."""
        if self.user:
            return [self.units / UNIT]
        return [self.units / name for name in (UNIT, TEMPLATE, f"{UNIT}.d/{DOCKER}", f"{TEMPLATE}.d/{DOCKER}")]


def find_scope(user: bool, environment: Mapping[str, str]) -> Scope:
    """Return where the files of the system's service are, or those of this user's."""
    if not user:
        system = Path("/etc/systemd/system")
        return Scope(system, Path("/etc/usage-agent/config.toml"), ("systemctl",), user=False)
    base = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Scope(base / "systemd/user", base / "usage-agent/config.toml", ("systemctl", "--user"), user=True)


def make_files(scope: Scope, command: Sequence[str], environment: Mapping[str, str]) -> dict[Path, str]:
    """Return the contents of the service's files by their paths, without the configuration.

    Args:
        scope: whose service it is.
        command: what starts the agent.
        environment: XDG_RUNTIME_DIR says where a user's engine has its socket.
    """
    if scope.user:
        unit = _unit("user/usage-agent.service", command)
        return {scope.units / UNIT: unit.replace("%t/docker.sock", f"%t/{find_user_socket(environment)[0]}")}
    files = {scope.units / name: _unit(name, command) for name in (UNIT, TEMPLATE)}
    if has_docker_group():
        content = _marked(read_shipped(f"systemd/{DOCKER}"), "[Service]")
        files |= {scope.units / f"{name}.d/{DOCKER}": content for name in (UNIT, TEMPLATE)}
    return files


def find_user_socket(environment: Mapping[str, str]) -> tuple[str, bool]:
    """Return the socket of this user's engine below the runtime directory, and whether it is there."""
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    for name in ("docker.sock", "podman/podman.sock"):
        if (runtime / name).exists():
            return name, True
    return "docker.sock", False


def has_docker_group() -> bool:
    """Return whether there is the group that may open the socket of a Docker that runs as root."""
    try:
        grp.getgrnam("docker")
    except KeyError:
        return False
    return True


def read_shipped(name: str) -> str:
    """Return a file that is shipped with the agent: from the wheel's data, or from the checkout that runs."""
    package = Path(agent.__file__).parent
    places = [package / "data" / name, package.parent / name]
    return next(place for place in places if place.is_file()).read_text()


def _unit(name: str, command: Sequence[str]) -> str:
    return _marked(read_shipped(f"systemd/{name}"), "[Unit]").replace(PROGRAM, quote_command(command))


def _marked(text: str, first_section: str) -> str:
    """Replace the head of a file, which says how to install it by hand."""
    _, section, rest = text.partition(first_section)
    return f"{MARK}\n# Put changes into a drop-in: `systemctl edit`.\n\n{section}{rest}"
