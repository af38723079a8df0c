"""A private Docker Engine that tests may kill, freeze and restart."""

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

OPT = Path("/opt/containerd")
HAD_OPT = OPT.exists()  # before an engine of ours runs


def missing() -> str | None:
    """Return why no engine can be started here, or None."""
    if os.geteuid() != 0:
        return "only root can start an engine"
    absent = [name for name in ("dockerd", "docker", "busybox", "setpriv") if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return None if b"/ld-" not in busybox().read_bytes()[:4096] else "busybox is not statically linked"


class PrivateEngine(Daemon, DockerCli):
    """dockerd with its own socket, data and containerd; `close` ends it with its containers.

    Without `--bridge` or `--bip` among the options it has the networks `none` and `host` only.
    """

    name = "dockerd"
    end_signal = "TERM"  # so that it ends its own containerd and containers

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory)
        self.options = options
        # Engines use a containerd of the system if it runs: the namespace separates this engine and marks its shims.
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
    def gateway(self) -> str:
        """An address of this machine that containers in a network can reach, for `host-gateway`."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # nothing is sent: it selects the address to send from
            except OSError:  # no network
                return "127.0.0.1"
            address: str = probe.getsockname()[0]
            return address

    @property
    def environment(self) -> Mapping[str, str]:
        """This process's environment, with the settings of the docker command for this engine."""
        own = {"DOCKER_HOST": self.url, "DOCKER_CONFIG": str(self.directory / "client")}
        own["TMPDIR"] = str(self.directory)  # where containerd, when it hangs, writes what its goroutines do
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
        network += [f"--host-gateway-ip={self.gateway}"]  # by default it is the address of the default bridge
        return ["dockerd", *places, *apart, "--iptables=false", "--ip6tables=false", *network, *self.options]

    def ready(self) -> bool:
        """Return whether the engine answers a ping."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.socket))
                client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in client.recv(64)
            except OSError:
                return False

    def start(self) -> None:
        """Start the engine, and import the image `busybox` the first time."""
        super().start()
        if not self.docker("images", "--quiet", "busybox"):
            self.import_image("busybox")

    def kill(self) -> None:
        """End the engine like a crash; its containerd ends too, its containers keep running."""
        super().kill()
        containerd = self.directory / "exec/containerd/containerd.pid"
        if containerd.exists():
            pid = int(containerd.read_text())
            wait_until(lambda: not alive(pid), PATIENCE, "containerd does not end with its engine")
            # dockerd mistakes a zombie for a running containerd, and some PID 1 leave zombies for seconds.
            containerd.unlink(missing_ok=True)

    def kill_process(self, container_id: str) -> None:
        """Kill a container's first process without the engine, which may be down."""
        shims = {pid for pid, line in _processes() if self._namespace in line and container_id in line}
        for pid, _ in _processes():
            if _parent(pid) in shims:
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End the engine and its containers, and remove all their processes and mounts."""
        self.thaw()
        try:
            if not self.running:
                self.start()  # only a running engine can end the containers of a killed one
            self.remove(*self.containers())
        except (AssertionError, subprocess.TimeoutExpired):
            pass  # the remaining processes are killed below
        super().close()
        self._kill_leftovers()
        self._unmount()
        shutil.rmtree(self.directory, ignore_errors=True)
        if not HAD_OPT:
            _remove_opt()

    def processes(self) -> set[int]:
        """Return the processes of the engine: dockerd, containerd and a shim for each container."""
        marks = (f"{self.directory}/", self._namespace)
        return {pid for pid, line in _processes() if any(mark in line for mark in marks)} - {os.getpid()}

    def _kill_leftovers(self) -> None:
        """Kill this engine's containerd, shims and containers."""
        pids = self.processes()
        pids |= {pid for pid, _ in _processes() if _parent(pid) in pids}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in pids), PATIENCE, f"processes of {self.directory} do not end")

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


def _remove_opt() -> None:
    """Remove the empty directories that containerd makes in /opt, wherever its data are."""
    for place in (OPT / "bin", OPT / "lib", OPT):
        with contextlib.suppress(OSError):
            place.rmdir()
