"""An engine over ssh://, through a real sshd on this machine: needs `openssh-server` and the extra `ssh`."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from asking import Reader, connected, descriptors, unconnected
from parts.dockerd import PrivateEngine
from parts.processes import Daemon

from agent.cancel import Cancel
from agent.engine import Engine, EngineUnreachable
from agent.sources import Poll

pytest.importorskip("paramiko", reason="the extra `ssh` is not installed")
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed")

AT_ONCE = 1.0  # seconds


class Sshd(Daemon):
    """sshd for the user that runs the tests, whose `docker` finds one engine."""

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
        """The address of the engine behind it."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return sshd's command line: it insists on its whole path."""
        return [str(SSHD), "-f", str(self.directory / "config"), "-D", "-e"]

    def ready(self) -> bool:
        """Say whether somebody listens."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def sessions(self, number: int) -> None:
        """Send a signal to the processes that serve the connections."""
        found = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            os.kill(int(pid), number)

    @staticmethod
    def _key(path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


@pytest.fixture
def sshd(short_path: Path, engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """Give the way to the shared engine over ssh, with a home directory that has the keys for it."""
    Path("/run/sshd").mkdir(exist_ok=True)
    daemon = Sshd(short_path / "sshd", engine.url)
    monkeypatch.setenv("HOME", str(daemon.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.sessions(signal.SIGCONT)
        daemon.close()


def test_same_as_any_other_way(sshd: Sshd, engine: PrivateEngine) -> None:
    """Everything can be asked, and both kinds of reading can be ended at once; nothing stays open."""
    container = engine.run("sleep", "600")
    asked = connected(sshd.url)
    assert asked.local is False
    assert asked.inspect(container)["Id"] == container
    assert container in {row["Id"] for row in asked.containers()}
    assert len(list(islice(Poll(asked).readings(container, 1.0, Cancel()), 2))) == 2
    before = descriptors()
    ways: list[Callable[[Cancel], Iterator[object]]] = [
        lambda cancel: asked.stats_stream(container, cancel),
        lambda cancel: asked.events(None, cancel),
    ]
    for way in ways:
        cancel = Cancel()
        reader = Reader(way(cancel))
        reader.next()
        begun = time.monotonic()
        cancel.set()
        assert reader.end() is None
        assert time.monotonic() - begun < AT_ONCE
    assert descriptors() == before


def test_host_that_freezes_and_goes(sshd: Sshd, engine: PrivateEngine) -> None:
    """A frozen or lost connection is an engine that cannot be reached, and connect() makes another."""
    container = engine.run("sleep", "600")
    asked = connected(sshd.url, timeout=2)
    sshd.sessions(signal.SIGSTOP)
    with pytest.raises(EngineUnreachable):
        asked.inspect(container)
    sshd.sessions(signal.SIGCONT)
    sshd.sessions(signal.SIGKILL)
    with pytest.raises(EngineUnreachable):
        asked.inspect(container)
    asked.connect()
    assert asked.inspect(container)["Id"] == container


def test_unknown_host(sshd: Sshd) -> None:
    """A host whose key is not known is not trusted, and named."""
    (sshd.home / ".ssh" / "known_hosts").unlink()
    engine: Engine = unconnected(sshd.url)
    with pytest.raises(EngineUnreachable, match="known_hosts"):
        engine.connect()
