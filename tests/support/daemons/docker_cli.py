"""The docker command, for containers as users start them."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from support.daemons.processes import PATIENCE

APPLETS = "sh cat dd echo head httpd kill ls mkdir nc rm sleep touch tr true wget"

Option = str | int | float | bool | list[str] | Mapping[str, str]


class DockerCli:
    """The docker command for one engine, which `environment` names."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the command; by default that of this process."""
        return os.environ

    def docker(self, *arguments: str, stdin: bytes | None = None, timeout: float = 2 * PATIENCE) -> str:
        """Run a docker command on this engine and return its output without the last newline."""
        done = subprocess.run(
            ["docker", *arguments], input=stdin, capture_output=True, env=self.environment, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode().rstrip("\n")

    def import_image(self, name: str) -> None:
        """Import an image of one file, Debian's static busybox, and links to it."""
        changes = ['CMD ["sleep", "2147483647"]', "ENV PATH=/bin"]
        self.docker("import", *(f"--change={change}" for change in changes), "-", name, stdin=busybox_tar())

    def run(self, *command: str, name: str | None = None, image: str = "busybox", **options: Option) -> str:
        """Start a container in the background and return its id.

        Options are those of `docker run`: `memory="64m"`, `label={"a": "b"}`, `volume=["/x:/x"]`, `init=True`.
        By default the container has no network, and `docker stop` kills it at once.
        """
        options = {"network": "none", "stop_signal": "KILL"} | options
        named = ["--name", name] if name else []
        return self.docker("run", "--detach", *named, *_flags(options), image, *command)

    def containers(self) -> set[str]:
        """Return the ids of all containers, running or not."""
        return set(self.docker("ps", "--all", "--quiet", "--no-trunc").split())

    def remove(self, *containers: str) -> None:
        """Remove containers; unpause paused ones first, as cgroup v1 does not kill frozen processes."""
        paused = set(self.docker("ps", "--quiet", "--no-trunc", "--filter", "status=paused").split())
        if frozen := paused.intersection(containers):
            self.docker("unpause", *frozen)
        if containers:
            self.docker("rm", "--force", "--volumes", *containers)


def busybox() -> Path:
    """Return the path of this machine's busybox."""
    found = shutil.which("busybox")
    assert found is not None, "busybox is not installed"
    return Path(found).resolve()


def busybox_tar() -> bytes:
    """Return the image as an archive: this machine's busybox, and links to it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(busybox(), "bin/busybox")
        for applet in APPLETS.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for directory in ("etc", "tmp", "www"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
    return packed.getvalue()


def _flags(options: Mapping[str, Option]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        match value:
            case bool():
                flags.append(f"{flag}={str(value).lower()}")
            case Mapping():
                flags += [f"{flag}={key}={setting}" for key, setting in value.items()]
            case list():
                flags += [f"{flag}={item}" for item in value]
            case _:
                flags.append(f"{flag}={value}")
    return flags
