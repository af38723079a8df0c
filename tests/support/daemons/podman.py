"""A private Podman with its compatible API, which people use in place of the Docker Engine."""

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

from support.daemons.docker_cli import busybox_tar
from support.daemons.processes import PATIENCE, Daemon, find

# The container's limits: Podman's defaults are above what a machine in a container may allow.
ULIMITS = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")


def missing() -> str | None:
    """Return why no Podman can be started here, or None."""
    if os.geteuid() != 0:
        return "only root can start containers with cgroups of their own"
    absent = [name for name in ("podman", "runc", "busybox", "setpriv") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


class Podman(Daemon):
    """`podman system service` with storage of its own; `close` removes its containers."""

    name = "podman"

    @property
    def socket(self) -> Path:
        """The path of the API socket."""
        return self.directory / "podman.sock"

    @property
    def url(self) -> str:
        """The address, as in `DOCKER_HOST`."""
        return f"unix://{self.socket}"

    def command(self) -> list[str]:
        """Return the command line of the service."""
        return [*self._podman(), "system", "service", "--time=0", self.url]

    def ready(self) -> bool:
        """Return whether the service accepts connections."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def start(self) -> None:
        """Start the service, and import the image `busybox`."""
        self.podman("import", "--change=ENV PATH=/bin", "-", "busybox", stdin=busybox_tar())
        super().start()

    def podman(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run a podman command and return its output without the last newline."""
        done = subprocess.run(
            [*self._podman(), *arguments], input=stdin, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode().rstrip("\n")

    def run(self, name: str, script: str, *options: str) -> str:
        """Start a container that runs a shell script, in the background; return its id."""
        return self.podman("run", "--detach", f"--name={name}", *ULIMITS, *options, "busybox", "sh", "-c", script)

    def close(self) -> None:
        """Remove the containers, end the service, and remove its files."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.podman("rm", "--all", "--force", "--time=0")
        super().close()
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.podman("rmi", "--all", "--force")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _podman(self) -> list[str]:
        at = self.directory
        places = [f"--root={at}/data", f"--runroot={at}/run", f"--tmpdir={at}/tmp"]
        return [
            find("podman") or "podman",
            *places,
            "--runtime=runc",
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
        ]
