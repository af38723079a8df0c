"""The files of a service: the shipped units agree with each other, and `--dry-run` shows what would be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.app.service_files import MARK, read_shipped
from agent.app.service_program import quote_command

UNIT = read_shipped("systemd/usage-agent.service")


def _directives(unit: str) -> set[str]:
    return {line for line in unit.splitlines() if line and not line.startswith(("#", "["))}


def test_instance_is_the_unit_with_names_of_its_own() -> None:
    """`usage-agent@.service` has the lines of `usage-agent.service`, apart from those that tell instances apart."""
    template = read_shipped("systemd/usage-agent@.service")
    new = _directives(template) - _directives(UNIT)
    assert {line.partition("=")[0] for line in new} == {
        "Description",
        "ExecStart",
        "RuntimeDirectory",
        "LoadCredential",
    }
    assert all("%i" in line for line in new)
    assert len(_directives(UNIT) - _directives(template)) == len(new)


def test_unit_of_a_user_has_no_line_of_its_own_but_the_places() -> None:
    """The unit of a user's systemd is the system's, without what needs root, and with the user's own places."""
    new = _directives(read_shipped("systemd/user/usage-agent.service")) - _directives(UNIT)
    assert sorted(line.partition("=")[0] for line in new) == ["Environment", "ExecStart", "WantedBy"]


@pytest.mark.parametrize(
    ("command", "quoted"),
    [
        (["/opt/usage-agent/bin/usage-agent"], "/opt/usage-agent/bin/usage-agent"),
        (["/usr/bin/python3", "-m", "agent"], "/usr/bin/python3 -m agent"),
        (["/home/my user/100%/$x"], '"/home/my user/100%%/$$x"'),
    ],
)
def test_command_is_quoted_for_systemd(command: list[str], quoted: str) -> None:
    """Blanks, `%` and `$` in the path of the program are not taken for something else by systemd."""
    assert quote_command(command) == quoted


@pytest.mark.parametrize(
    ("socket", "shown"),
    [("docker.sock", "%t/docker.sock"), ("podman/podman.sock", "%t/podman/podman.sock"), (None, "%t/docker.sock")],
)
def test_dry_run_shows_all_and_writes_nothing(tmp_path: Path, socket: str | None, shown: str) -> None:
    """`--user --dry-run` prints the unit for this program, the configuration and the commands, and writes nothing."""
    runtime = tmp_path / "runtime"
    if socket:
        (runtime / socket).parent.mkdir(parents=True)
        (runtime / socket).touch()
    home = tmp_path / "home"
    home.mkdir()
    said = _run("--user", "--dry-run", HOME=str(home), XDG_RUNTIME_DIR=str(runtime), XDG_CONFIG_HOME="")
    assert f"would write {home}/.config/systemd/user/usage-agent.service\n    {MARK}\n" in said
    assert f"    Environment=DOCKER_HOST=unix://{shown}\n" in said
    assert f"    ExecStart={sys.executable} -m agent run --config %E/usage-agent/config.toml\n" in said
    assert f"would write {home}/.config/usage-agent/config.toml\n" in said
    assert "    # interval = 10\n" in said
    assert "would run systemctl --user enable usage-agent.service\n" in said
    assert ("no Docker or Podman of this user" in said) == (socket is None)
    assert list(home.iterdir()) == []


def test_dry_run_of_the_removal_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    """`--uninstall` removes only files that the command has written; what stays is named."""
    units, config = tmp_path / "systemd/user", tmp_path / "usage-agent"
    units.mkdir(parents=True)
    config.mkdir()
    (config / "config.toml").touch()
    unit = units / "usage-agent.service"
    unit.write_text("# mine\n")
    arguments = ("--user", "--uninstall", "--dry-run")
    said = _run(*arguments, XDG_CONFIG_HOME=str(tmp_path))
    assert f"would keep {unit}: it was not written by this command\n" in said
    assert f"would keep {config}/config.toml: it is your configuration; --purge removes it\n" in said
    assert "remove /" not in said
    unit.write_text(f"{MARK}\n")
    said = _run(*arguments, "--purge", XDG_CONFIG_HOME=str(tmp_path))
    assert "would run systemctl --user disable --now usage-agent.service\n" in said
    assert f"would remove {unit}\n" in said
    assert f"would remove {config}/config.toml\n" in said


def _run(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "agent", "install-service", *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout
