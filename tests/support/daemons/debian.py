"""An image of a small Debian with systemd and Python, and a directory of wheels to install the agent from.

Both are built once and cached outside the repository, so that only the first run takes long.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from support.daemons.dockerd import PrivateEngine
from support.progress import report

SUITE = "bookworm"
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
PACKAGES = ("ca-certificates", "dbus", "python3", "python3-venv", "systemd", "systemd-sysv")
EXCLUDED = (
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
    "./usr/share/doc/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
)
PROJECT = Path(__file__).parents[3]
TIMEOUT_SECONDS = 900  # seconds for downloads over a slow connection


def builder_missing() -> str | None:
    """Return why no Debian package can be built and examined here, or None."""
    absent = [name for name in ("dh", "dpkg-buildpackage", "help2man", "lintian") if _find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def import_debian(engine: PrivateEngine, name: str = "debian") -> None:
    """Import the Debian into an engine as an image."""
    recipe = " ".join((SUITE, *PACKAGES, *EXCLUDED))
    archive = cached(f"debian-{key(recipe)}.tar", "a small Debian image", _make_debian)
    engine.docker("import", '--change=CMD ["/sbin/init"]', str(archive), name, timeout=TIMEOUT_SECONDS)


def wheelhouse(directory: Path, extras: tuple[str, ...] = (), suite: str = SUITE) -> Path:
    """Fill a directory with the agent's wheel, built now, and the locked wheels that it depends on."""
    files = [PROJECT / f"requirements/{name}.txt" for name in ("build", "agent", *extras)]
    python = PYTHON[suite]
    name = f"wheels-{key(' '.join((python, *(file.read_text() for file in files))))}"
    wheels = cached(name, "a directory of wheels", lambda new: _download(files, python, new))
    shutil.copytree(wheels, directory)
    pip("wheel", "--no-deps", "--no-index", "--find-links", str(wheels), "--wheel-dir", str(directory), str(PROJECT))
    return directory


def _download(files: list[Path], python: str, directory: Path) -> None:
    wanted = ("--only-binary=:all:", f"--python-version={python}", f"--dest={directory}", "--require-hashes")
    pip("download", *wanted, *(f"--requirement={file}" for file in files))


def pip(*arguments: str) -> None:
    """Run pip of the Python that runs the tests."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, timeout=TIMEOUT_SECONDS)


def _make_debian(archive: Path) -> None:
    with bootstrapped(archive.parent, SUITE, PACKAGES) as tree:
        without = [f"--exclude={pattern}" for pattern in EXCLUDED]
        quietly(["tar", "--create", "--numeric-owner", f"--file={archive}", f"--directory={tree}", *without, "."])


@contextlib.contextmanager
def bootstrapped(directory: Path, suite: str, packages: tuple[str, ...]) -> Iterator[Path]:
    """Yield a directory with a Debian in it, and remove it afterwards."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        tree = Path(scratch) / "tree"
        try:
            quietly(["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(tree)])
            yield tree
        finally:
            # --one-file-system: do not empty a filesystem that was left mounted in the tree.
            subprocess.run(["rm", "-rf", "--one-file-system", str(tree)], check=True)


def quietly(command: list[str]) -> None:
    """Run a command as root; show its output only if it fails."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # debootstrap and its programs are there
    done = subprocess.run(
        [_find(command[0]) or command[0], *command[1:]],
        env=os.environ | {"PATH": path, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout.decode(errors='replace')[-4000:]}"


def cached(name: str, what: str, make: Callable[[Path], None]) -> Path:
    """Return the cached result of `make`, which is described by `what`; concurrent test runs make it only once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "usage-agent-tests"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / name
    with _locked(cache / f"{name}.lock"):
        if not place.exists():
            new = cache / f"{name}.new"  # an interrupted run may have left a partial result
            if new.is_dir():
                shutil.rmtree(new)
            report(f"making {what}: takes minutes, but only the first time")
            make(new)
            new.rename(place)
    return place


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def key(recipe: str) -> str:
    """Return a key that differs by recipe, and by architecture where machines share a cache."""
    return hashlib.sha256(f"{platform.machine()} {recipe}".encode()).hexdigest()[:12]


def _find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
