"""A small Debian with systemd and Python as an image, and the agent's wheels to install in it.

Both are made once and kept outside the repository, so that only the first run pays for them.
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
from support.progress import say

SUITE = "bookworm"
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
PACKAGES = ("ca-certificates", "dbus", "python3", "python3-venv", "systemd", "systemd-sysv")
DISPENSABLE = (
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
    "./usr/share/doc/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
)
PROJECT = Path(__file__).parents[3]
PATIENCE = 900  # seconds for what comes over a slow line


def import_debian(engine: PrivateEngine, name: str = "debian") -> None:
    """Give the engine the Debian as an image."""
    recipe = " ".join((SUITE, *PACKAGES, *DISPENSABLE))
    archive = cached(f"debian-{key(recipe)}.tar", "a small Debian for images", _make_debian)
    engine.docker("import", '--change=CMD ["/sbin/init"]', str(archive), name, timeout=PATIENCE)


def wheelhouse(directory: Path, extras: tuple[str, ...] = (), suite: str = SUITE) -> Path:
    """Fill a directory with the agent's wheel, built now, and those of the lock that it needs."""
    files = [PROJECT / f"requirements/{name}.txt" for name in ("build", "agent", *extras)]
    python = PYTHON[suite]
    name = f"wheels-{key(' '.join((python, *(file.read_text() for file in files))))}"
    wheels = cached(name, "a store of wheels", lambda new: _download(files, python, new))
    shutil.copytree(wheels, directory)
    pip("wheel", "--no-deps", "--no-index", "--find-links", str(wheels), "--wheel-dir", str(directory), str(PROJECT))
    return directory


def _download(files: list[Path], python: str, directory: Path) -> None:
    wanted = ("--only-binary=:all:", f"--python-version={python}", f"--dest={directory}", "--require-hashes")
    pip("download", *wanted, *(f"--requirement={file}" for file in files))


def pip(*arguments: str) -> None:
    """Run pip with the tests' own Python."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, timeout=PATIENCE)


def _make_debian(archive: Path) -> None:
    with bootstrapped(archive.parent, SUITE, PACKAGES) as tree:
        without = [f"--exclude={pattern}" for pattern in DISPENSABLE]
        quietly(["tar", "--create", "--numeric-owner", f"--file={archive}", f"--directory={tree}", *without, "."])


@contextlib.contextmanager
def bootstrapped(directory: Path, suite: str, packages: tuple[str, ...]) -> Iterator[Path]:
    """Give a directory with a Debian in it, for a while."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        tree = Path(scratch) / "tree"
        try:
            quietly(["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(tree)])
            yield tree
        finally:
            # A filesystem that was left mounted in the tree is not ours to empty.
            subprocess.run(["rm", "-rf", "--one-file-system", str(tree)], check=True)


def quietly(command: list[str]) -> None:
    """Run a command of root's; what it said is told if it fails."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # debootstrap lives and looks there
    done = subprocess.run(
        [_find(command[0]) or command[0], *command[1:]],
        env=os.environ | {"PATH": path, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout.decode(errors='replace')[-4000:]}"


def cached(name: str, what: str, make: Callable[[Path], None]) -> Path:
    """Return what `make` made at some time, `what` it is in words; two test runs at once make it only once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "usage-agent-tests"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / name
    with _locked(cache / f"{name}.lock"):
        if not place.exists():
            new = cache / f"{name}.new"  # what an interrupted run left there is made again
            if new.is_dir():
                shutil.rmtree(new)
            say(f"making {what}: this takes minutes, but only the first time")
            make(new)
            new.rename(place)
    return place


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def key(recipe: str) -> str:
    """Tell recipes, and machines of different kinds that share a cache, apart."""
    return hashlib.sha256(f"{platform.machine()} {recipe}".encode()).hexdigest()[:12]


def _find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
