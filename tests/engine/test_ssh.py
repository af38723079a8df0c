"""An engine over ssh://, through a real sshd on this machine: needs `openssh-server` and the extra `ssh`."""

import signal
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from support.asking import Reader, connected, descriptors, readings, unconnected
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import slack
from support.daemons.sshd import Sshd

from agent.collection.engine_source import PollSource
from agent.engine.client import EngineClient
from agent.engine.errors import EngineUnreachableError
from agent.runtime.cancel import CancelToken

pytestmark = pytest.mark.ssh


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
    assert container in {row["Id"] for row in asked.list_containers()}
    assert len(list(islice(readings(PollSource(asked), container, 1.0, CancelToken()), 2))) == 2
    before = descriptors()
    ways: list[Callable[[CancelToken], Iterator[object]]] = [
        lambda cancel: asked.stats_stream(container, cancel),
        lambda cancel: asked.events(None, cancel),
    ]
    for way in ways:
        cancel = CancelToken()
        reader = Reader(way(cancel))
        reader.next()
        begun = time.monotonic()
        cancel.set()
        assert reader.end() is None
        assert time.monotonic() - begun < slack()
    assert descriptors() == before


def test_host_that_freezes_and_goes(sshd: Sshd, engine: PrivateEngine) -> None:
    """A frozen or lost connection is an engine that cannot be reached, and connect() makes another."""
    container = engine.run("sleep", "600")
    asked = connected(sshd.url, timeout=5)
    sshd.sessions(signal.SIGSTOP)
    with pytest.raises(EngineUnreachableError):
        asked.inspect(container)
    sshd.sessions(signal.SIGCONT)
    sshd.sessions(signal.SIGKILL)
    with pytest.raises(EngineUnreachableError):
        asked.inspect(container)
    asked.connect()
    assert asked.inspect(container)["Id"] == container


def test_unknown_host(sshd: Sshd) -> None:
    """A host whose key is not known is not trusted, and named."""
    (sshd.home / ".ssh" / "known_hosts").unlink()
    engine: EngineClient = unconnected(sshd.url)
    with pytest.raises(EngineUnreachableError, match="known_hosts"):
        engine.connect()
