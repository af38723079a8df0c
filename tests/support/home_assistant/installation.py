"""Installs Home Assistant in a small Debian tree of its own, once per machine and version.

Home Assistant needs a newer Python than many machines have. It runs in the tree by `chroot`, in a mount namespace of
its own: nothing stays mounted when it ends.
"""

import json
import os
import re
import shlex
import shutil
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from support.daemons import debian
from support.daemons.processes import find

PACKAGES = ("ca-certificates", "python3")
INTEGRATIONS = (
    *("mqtt", "history", "recorder"),
    # What it starts by itself. A version that does not know one of these goes without.
    *("analytics", "backup", "brands", "frontend", "hardware", "isal", "marketplace", "network", "person"),
    *("ai_task", "assist_satellite", "image_processing", "infrared", "radio_frequency"),
)

CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
CONFIG = "/config"
FRONTEND = "/frontend"
EMPTY_FRONTEND = """\
from pathlib import Path


def where():
    return Path(__file__).parent
"""
"""Home Assistant does not start without its pages (260 MB), but does with this package instead."""


@dataclass(frozen=True)
class Version:
    """A release of Home Assistant, and a Debian release that has the Python it needs.

    `overrides` are requirements that replace Home Assistant's own, `name>=version`.
    """

    number: str
    suite: str
    overrides: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return its number."""
        return self.number


# The releases that Home Assistant names have no wheels: they would take a compiler.
WITH_WHEELS = ("pymicro-vad>=2", "pyspeex-noise>=2")
NEWEST = Version("2026.11.0", "testing", WITH_WHEELS)
# Its aiodns needs an older pycares than the newest, but does not say so. Its lru-dict has no wheel for Python 3.13.
YEAR_OLD = Version("2025.11.3", "trixie", (*WITH_WHEELS, "lru-dict>=1.4", "pycares<5"))
VERSIONS = (YEAR_OLD, NEWEST)


def missing() -> str | None:
    """Return why no Home Assistant can be installed or run here, or None."""
    if os.geteuid() != 0:
        return "only root can run Home Assistant in a Debian tree"
    absent = [name for name in ("debootstrap", "unshare", "chroot", "mount", "setpriv") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def installed(version: Version) -> Path:
    """Return the tree with this version of Home Assistant in the environment `/ha`; install it if it is not there."""
    recipe = " ".join((str(version), version.suite, *version.overrides, *PACKAGES, *INTEGRATIONS, EMPTY_FRONTEND))
    name = f"home-assistant-{version}-{debian.key(recipe)}"
    return debian.cached(name, f"a Home Assistant {version}", lambda tree: _install(tree, version))


def frontend(version: Version) -> Path:
    """Return a directory with Home Assistant's real pages, as an import path; install them if they are not there."""
    tree = installed(version)
    requirement = next(wanted for wanted in _requirements(tree) if _is_frontend(wanted))
    name = f"{requirement.replace('==', '-')}-{debian.key(requirement)}"

    def install(directory: Path) -> None:
        directory.mkdir()
        _run(
            tree,
            ["uv", "pip", "install", "--no-cache", "--no-deps", "--target", FRONTEND, requirement],
            {FRONTEND: directory},
        )

    return debian.cached(name, "the pages of Home Assistant", install)


def inside(
    tree: Path, command: list[str], binds: Mapping[str, Path], environment: Mapping[str, str] | None = None
) -> list[str]:
    """Return the command line that runs a command in the tree.

    Args:
        tree: The tree, from `installed`.
        command: Program and arguments, as found in the tree.
        binds: Directories of this machine by the path at which the command sees them.
        environment: Variables of the command, beside those that it needs to reach the package index.
    """
    mounts = [("--rbind", "/proc", "/proc"), ("--rbind", "/dev", "/dev")]
    mounts += [("--bind", str(source), target) for target, source in binds.items()]
    lines = [f"mount {how} {shlex.quote(source)} {shlex.quote(f'{tree}{target}')}" for how, source, target in mounts]
    passed = {name: value for name, value in os.environ.items() if name.startswith("UV_") or name.endswith("_proxy")}
    variables = {
        "PATH": "/ha/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": f"/{CERTIFICATES}",
        "VIRTUAL_ENV": "/ha",
        **passed,
        **(environment or {}),
    }
    words = ["env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]
    script = "; ".join([*lines, f"exec chroot {shlex.quote(str(tree))} {shlex.join(words)}"])
    return ["unshare", "--mount", "sh", "-ec", script]


def _install(tree: Path, version: Version) -> None:
    debian.quietly(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", version.suite, str(tree)])
    for pattern in debian.EXCLUDED:
        for path in tree.glob(pattern.removeprefix("./")):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", tree / "etc")
    if authorities := ssl.get_default_verify_paths().cafile:
        shutil.copy(authorities, tree / CERTIFICATES)
    shutil.copy(uv.find_uv_bin(), tree / "usr/bin/uv")
    (tree / CONFIG[1:]).mkdir()
    _write_empty_frontend(tree / FRONTEND[1:])
    _run(tree, ["uv", "venv", "--no-managed-python", "/ha"])
    home_assistant = f"homeassistant=={version}"
    _run(tree, ["uv", "pip", "install", "--no-cache", "--no-deps", home_assistant])
    (tree / "overrides.txt").write_text("\n".join(version.overrides))
    (tree / "constraints.txt").write_text(_constraints(tree, version))
    files = ["--override", "/overrides.txt", "--constraint", "/constraints.txt"]
    requirements = sorted(wanted for wanted in _requirements(tree) if not _is_frontend(wanted))
    _run(tree, ["uv", "pip", "install", "--no-cache", *files, home_assistant, *requirements])


def _run(tree: Path, command: list[str], binds: Mapping[str, Path] | None = None) -> None:
    debian.quietly(inside(tree, command, binds or {}))


def _constraints(tree: Path, version: Version) -> str:
    """Return the versions of everything with which this Home Assistant was released, but for the overrides."""
    overridden = {re.split("[<>=]", requirement)[0] for requirement in version.overrides}
    lines = (_package(tree) / "package_constraints.txt").read_text().splitlines()
    return "\n".join(line for line in lines if re.split("[<>=]", line)[0] not in overridden)


def _requirements(tree: Path) -> set[str]:
    """Return what the integrations, and those on which they depend, have in their manifests as requirements."""
    return {wanted for manifest in _manifests(tree) for wanted in manifest.get("requirements", [])}


def _manifests(tree: Path) -> Iterator[dict[str, list[str]]]:
    components = _package(tree) / "components"
    seen: set[str] = set()
    waiting = list(INTEGRATIONS)
    while waiting:
        name = waiting.pop()
        file = components / name / "manifest.json"
        if name in seen or not file.exists():
            continue
        seen.add(name)
        manifest = json.loads(file.read_text())
        yield manifest
        waiting += manifest.get("dependencies", []) + manifest.get("after_dependencies", [])


def _package(tree: Path) -> Path:
    return next(tree.glob("ha/lib/python3.*/site-packages/homeassistant"))


def _is_frontend(requirement: str) -> bool:
    return requirement.startswith("home-assistant-frontend==")


def _write_empty_frontend(directory: Path) -> None:
    package = directory / "hass_frontend"
    for name in ("static", "frontend_latest", "frontend_es5"):
        (package / name).mkdir(parents=True)
    (package / "__init__.py").write_text(EMPTY_FRONTEND)
