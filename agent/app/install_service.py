"""`usage-agent install-service`: makes a service of systemd out of the program that is run, or removes it.

find_scope()  ─►  _check_systemd(): refuse  ─►  _installation() or _removal(): steps  ─►  _take(): each, or only shown

The steps are found first, so that `--dry-run` shows exactly those that would be taken. Each of them may be taken again:
files that are as they should be are not written, and the configuration is never replaced.
"""

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.app.service_files import (
    MARK,
    TEMPLATE,
    UNIT,
    Scope,
    find_scope,
    find_user_socket,
    has_docker_group,
    make_files,
    read_shipped,
)
from agent.app.service_program import find_obstacle, find_program
from agent.runtime.text import escape

FAILED = 1  # exit code
PACKAGED = Path("/lib/systemd/system", UNIT)  # /lib is /usr/lib today
BOOTED = Path("/run/systemd/system")  # sd_booted(3)
LINGERING = Path("/var/lib/systemd/linger")
OWN_DIRECTORIES = (f"{UNIT}.d", f"{TEMPLATE}.d", "usage-agent")  # removed when they are empty


class InstallError(Exception):
    """The service cannot be installed or removed; the message names the remedy."""


@dataclass(frozen=True)
class Write:
    """A file to write."""

    path: Path
    content: str


@dataclass(frozen=True)
class Remove:
    """A file to remove, and its directory if that is empty then and was made for it."""

    path: Path


@dataclass(frozen=True)
class Run:
    """A command to run. `may_fail`: that it fails is no error. `remedy`: what to do if it is one."""

    command: tuple[str, ...]
    may_fail: bool = False
    remedy: str = ""


@dataclass(frozen=True)
class Keep:
    """A file that stays as it is, and why."""

    path: Path
    reason: str


Step = Write | Remove | Run | Keep


def install_service(*, user: bool, uninstall: bool, purge: bool, dry_run: bool, environment: Mapping[str, str]) -> int:
    """Install or remove the service, and print each step.

    Args:
        user: the service of this user's systemd, instead of the system's.
        uninstall: remove it.
        purge: with `uninstall`, remove the configuration, too.
        dry_run: print the steps with the contents of files, and take none.
        environment: the environment variables.

    Returns:
        The exit code.
    """
    scope = find_scope(user, environment)
    try:
        if not dry_run:
            _check_systemd(scope)
        os.umask(0o077 if user else 0o022)
        for step in list(_removal(scope, purge) if uninstall else _installation(scope, environment)):
            _show(step, dry_run)
            if not dry_run:
                _take(step)
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"error: {escape(str(error.filename))}: {error.strerror}", file=sys.stderr)
        return FAILED
    if not uninstall:
        _print_notes(scope, environment)
    return 0


def _check_systemd(scope: Scope) -> None:
    """Raise InstallError if there is no systemd, or we may not talk to it."""
    if not BOOTED.is_dir() or not shutil.which("systemctl"):
        raise InstallError("this machine was not started by systemd; `usage-agent run` needs none")
    if scope.user:
        asked = _run((*scope.systemctl, "show-environment"))
        if asked.returncode:
            raise InstallError(
                f"the systemd of user {getpass.getuser()} does not answer ({escape(asked.stderr.strip())}); log in as "
                "this user, not with su or sudo, or as root `loginctl enable-linger USER` first"
            )
    elif os.geteuid() != 0:
        raise InstallError("only root can install a service of the system; --user installs one of yours")


def _installation(scope: Scope, environment: Mapping[str, str]) -> Iterator[Step]:
    command = find_program()
    if not scope.user and PACKAGED.exists():
        raise InstallError(f"{PACKAGED} is there: a package has installed the service already")
    if not scope.user and (obstacle := find_obstacle(command)):
        raise InstallError(obstacle)
    files = make_files(scope, command, environment)
    for path in scope.own_paths:
        present = _read(path)
        if present is not None and MARK not in present:
            raise InstallError(f"{path} was not written by this command: move it away, or keep it and do without this")
        if path not in files and present is not None:  # the group docker is gone
            yield Remove(path)
        elif path in files:
            unchanged = present == files[path]
            yield Keep(path, "is as it should be") if unchanged else Write(path, files[path])
    if os.path.lexists(scope.config):
        yield Keep(scope.config, "is your configuration")
    else:
        yield Write(scope.config, read_shipped("config.toml"))
    journal = f"journalctl {'--user ' if scope.user else ''}--unit={UNIT}"
    yield Run((*scope.systemctl, "daemon-reload"))
    yield Run((*scope.systemctl, "enable", UNIT))
    yield Run((*scope.systemctl, "restart", UNIT), remedy=f"the service does not start; `{journal}` says why")


def _removal(scope: Scope, purge: bool) -> Iterator[Step]:
    own = [path for path in scope.own_paths if MARK in (_read(path) or "")]
    instances = sorted({link.name for link in scope.units.glob("*.wants/usage-agent@*.service")})
    if own:
        yield Run((*scope.systemctl, "disable", "--now", UNIT, *instances))
        yield Run((*scope.systemctl, "stop", "usage-agent@*.service"), may_fail=True)
    for path in scope.own_paths:
        if path in own:
            yield Remove(path)
        elif os.path.lexists(path):
            yield Keep(path, "was not written by this command")
    if own:
        yield Run((*scope.systemctl, "daemon-reload"))
        yield Run((*scope.systemctl, "reset-failed", "usage-agent*"), may_fail=True)
    if os.path.lexists(scope.config):
        yield Remove(scope.config) if purge else Keep(scope.config, "is your configuration; --purge removes it")
    for path in sorted(scope.config.parent.glob("*")):
        if path != scope.config:
            yield Keep(path, "is your configuration")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def _show(step: Step, dry_run: bool) -> None:
    would = "would " if dry_run else ""
    match step:
        case Write(path, content):
            print(f"{would}write {path}")
            if dry_run:
                print("".join(f"    {line}".rstrip() + "\n" for line in content.splitlines()), end="")
        case Remove(path):
            print(f"{would}remove {path}")
        case Run(command):
            print(f"{would}run {' '.join(command)}")
        case Keep(path, reason):
            print(f"{would}keep {path}: it {reason}")
    sys.stdout.flush()  # in order with what the commands print


def _take(step: Step) -> None:
    match step:
        case Write(path, content):
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.new")
            new.write_text(content)
            new.replace(path)
        case Remove(path):
            path.unlink()
            if path.parent.name in OWN_DIRECTORIES and not any(path.parent.iterdir()):
                path.parent.rmdir()
        case Run(command, may_fail, remedy):
            done = _run(command)
            if done.returncode and not may_fail:
                raise InstallError(f"{' '.join(command)}: {escape(done.stderr.strip())}\n{remedy}".rstrip())


def _run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603  # ours


def _print_notes(scope: Scope, environment: Mapping[str, str]) -> None:
    ctl = " ".join(scope.systemctl)
    print(f"Settings: {scope.config}; then {ctl} restart usage-agent. How it is: {ctl} status usage-agent")
    if scope.user:
        if not find_user_socket(environment)[1]:
            print(f"note: no Docker or Podman of this user is there yet: set engine.url in {scope.config}")
        if not (LINGERING / getpass.getuser()).exists():
            print("note: the service ends when you log out; `loginctl enable-linger` lets it run on")
    elif not has_docker_group():
        print(
            "note: there is no group docker, so the service may not open the socket of a Docker that runs as root. "
            "Run this again when Docker is installed. Podman, rootless Docker and a socket proxy need no group."
        )
