"""A Docker Engine of our own, which tests may kill, freeze and restart."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from support.daemons.docker_cli import DockerCli, busybox
from support.daemons.processes import PATIENCE, Daemon, alive, wait_until


def missing() -> str | None:
    """Say what keeps us from starting an engine here, if anything does."""
    if os.geteuid() != 0:
        return "an engine can be started by root only"
    absent = [name for name in ("dockerd", "docker", "busybox", "setpriv") if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return None if b"/ld-" not in busybox().read_bytes()[:4096] else "busybox is not the static one"


class PrivateEngine(Daemon, DockerCli):
    """dockerd with its own socket, data and containerd; ends with its containers.

    Without `--bridge` or `--bip` among the options its containers have no network but `none` and `host`.
    """

    name = "dockerd"
    farewell = "TERM"  # so that it ends its own containerd and containers

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory)
        self.options = options
        # Engines share a containerd that the system runs: the namespace keeps ours apart, and marks our shims.
        self._namespace = f"usage-agent-{uuid.uuid4().hex[:12]}"

    @property
    def socket(self) -> Path:
        """The path of the API socket."""
        return self.directory / "docker.sock"

    @property
    def url(self) -> str:
        """The address, as in `DOCKER_HOST`."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> Mapping[str, str]:
        """Ours, but for the settings of docker's command line, which are this engine's."""
        own = {"DOCKER_HOST": self.url, "DOCKER_CONFIG": str(self.directory / "client")}
        return {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")} | own

    def command(self) -> list[str]:
        """Return dockerd's command line."""
        at = self.directory
        places = [f"--data-root={at}/data", f"--exec-root={at}/exec", f"--pidfile={at}/pid", f"--host={self.url}"]
        apart = [
            f"--containerd-namespace={self._namespace}",
            f"--containerd-plugins-namespace={self._namespace}-plugins",
        ]
        networked = any(option.startswith(("--bridge", "--bip")) for option in self.options)
        network = [] if networked else ["--bridge=none"]
        return ["dockerd", *places, *apart, "--iptables=false", "--ip6tables=false", *network, *self.options]

    def ready(self) -> bool:
        """Say whether the engine answers a ping."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.socket))
                client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in client.recv(64)
            except OSError:
                return False

    def start(self) -> None:
        """Start the engine; the first time, give it the image `busybox`."""
        super().start()
        if not self.docker("images", "--quiet", "busybox"):
            self.import_image("busybox")

    def kill(self) -> None:
        """End the engine as a crash would; its containerd goes with it, its containers stay."""
        super().kill()
        containerd = self.directory / "exec/containerd/containerd.pid"
        if containerd.exists():
            pid = int(containerd.read_text())
            wait_until(lambda: not alive(pid), PATIENCE, "containerd outlives its engine")
            # dockerd takes a zombie for a running containerd, and some PID 1 leave zombies for seconds.
            containerd.unlink(missing_ok=True)

    def kill_process(self, container_id: str) -> None:
        """End a container's own process, as it might end by itself; for this the engine need not be there."""
        shims = {pid for pid, line in _processes() if self._namespace in line and container_id in line}
        for pid, _ in _processes():
            if _parent(pid) in shims:
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End the engine and its containers, and leave neither process nor mount behind."""
        self.thaw()
        try:
            if not self.running:
                self.start()  # only an engine knows how to end the containers that a killed one left
            self.remove(*self.containers())
        except (AssertionError, subprocess.TimeoutExpired):
            pass  # what it cannot end is ended below
        super().close()
        self._kill_leftovers()
        self._unmount()
        shutil.rmtree(self.directory, ignore_errors=True)

    def processes(self) -> set[int]:
        """Return what the engine consists of: dockerd, containerd and a shim for each container."""
        marks = (f"{self.directory}/", self._namespace)
        return {pid for pid, line in _processes() if any(mark in line for mark in marks)} - {os.getpid()}

    def _kill_leftovers(self) -> None:
        """Kill containerd, shims and their containers if they are this engine's."""
        ours = self.processes()
        ours |= {pid for pid, _ in _processes() if _parent(pid) in ours}
        for pid in ours:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in ours), PATIENCE, f"processes of {self.directory} do not end")

    def _unmount(self) -> None:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.directory}/"):
                subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)


def _processes() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                found.append(
                    (int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                )
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
