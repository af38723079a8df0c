"""An engine over ssh://, through a real sshd on this machine: needs `openssh-server` and the extra `ssh`."""

import signal
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import slack
from support.daemons.sshd import Sshd
from support.engine_client import ReaderThread, connected, descriptors, readings, unconnected

from agent.collection.engine_source import PollSource
from agent.engine.client import EngineClient
from agent.engine.errors import EngineUnreachableError
from agent.runtime.cancel import CancelToken

pytestmark = pytest.mark.ssh


@pytest.fixture
def sshd(short_path: Path, engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """Give an sshd in front of the shared engine, and a home directory with keys for it."""
    Path("/run/sshd").mkdir(exist_ok=True)
    daemon = Sshd(short_path / "sshd", engine.url)
    monkeypatch.setenv("HOME", str(daemon.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.signal_sessions(signal.SIGCONT)
        daemon.close()


def test_every_call_works_over_ssh(sshd: Sshd, engine: PrivateEngine) -> None:
    """Calls are answered, streams and events end at once when cancelled, and no descriptor stays open."""
    container = engine.run("sleep", "600")
    client = connected(sshd.url)
    assert client.local is False
    assert client.inspect(container)["Id"] == container
    assert container in {row["Id"] for row in client.list_containers()}
    assert len(list(islice(readings(PollSource(client), container, 1.0, CancelToken()), 2))) == 2
    before = descriptors()
    ways: list[Callable[[CancelToken], Iterator[object]]] = [
        lambda cancel: client.stats_stream(container, cancel),
        lambda cancel: client.events(None, cancel),
    ]
    for way in ways:
        cancel = CancelToken()
        reader = ReaderThread(way(cancel))
        reader.next()
        begun = time.monotonic()
        cancel.set()
        assert reader.end() is None
        assert time.monotonic() - begun < slack()
    assert descriptors() == before


def test_lost_ssh_connection_is_made_again(sshd: Sshd, engine: PrivateEngine) -> None:
    """A frozen or broken connection is an unreachable engine, and connect() makes another."""
    container = engine.run("sleep", "600")
    client = connected(sshd.url, timeout=5)
    sshd.signal_sessions(signal.SIGSTOP)
    with pytest.raises(EngineUnreachableError):
        client.inspect(container)
    sshd.signal_sessions(signal.SIGCONT)
    sshd.signal_sessions(signal.SIGKILL)
    with pytest.raises(EngineUnreachableError):
        client.inspect(container)
    client.connect()
    assert client.inspect(container)["Id"] == container


def test_unknown_host_key_is_refused(sshd: Sshd) -> None:
    """A host whose key is not known is not trusted, and the error names known_hosts."""
    (sshd.home / ".ssh" / "known_hosts").unlink()
    engine: EngineClient = unconnected(sshd.url)
    with pytest.raises(EngineUnreachableError, match="known_hosts"):
        engine.connect()
