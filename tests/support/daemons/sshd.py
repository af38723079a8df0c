"""A real sshd on this machine, for engines with an ssh:// address."""

import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
from pathlib import Path

from support.daemons.processes import Daemon, find


def missing() -> str | None:
    """Return why no engine can be reached over ssh:// here, or None."""
    if find("sshd") is None:
        return "openssh-server is not installed"
    return None if importlib.util.find_spec("paramiko") else "the extra `ssh` is not installed"


class Sshd(Daemon):
    """sshd for the user that runs the tests, with DOCKER_HOST set to one engine."""

    name = "sshd"

    def __init__(self, directory: Path, engine_url: str) -> None:
        super().__init__(directory)
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port: int = server.getsockname()[1]
        self.home = directory / "home"
        keys = self.home / ".ssh"
        keys.mkdir(parents=True)
        self._key(directory / "host")
        self._key(keys / "id_ed25519")
        shutil.copy(keys / "id_ed25519.pub", directory / "authorized")
        public = " ".join((directory / "host.pub").read_text().split()[:2])
        (keys / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}\n")
        lines = [f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {directory}/host", "PidFile none"]
        lines += [f"AuthorizedKeysFile {directory}/authorized", "StrictModes no", "PermitRootLogin yes", "UsePAM no"]
        lines += [f"SetEnv DOCKER_HOST={engine_url}", "MaxSessions 50"]
        (directory / "config").write_text("\n".join(lines) + "\n")

    @property
    def url(self) -> str:
        """The address of the engine, as in `engine.url`."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return sshd's command line, with the absolute path that sshd requires."""
        return [find("sshd") or "sshd", "-f", str(self.directory / "config"), "-D", "-e"]

    def ready(self) -> bool:
        """Return whether the port accepts connections."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def signal_sessions(self, number: int) -> None:
        """Send a signal to the processes that serve connections."""
        found = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            os.kill(int(pid), number)

    @staticmethod
    def _key(path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
