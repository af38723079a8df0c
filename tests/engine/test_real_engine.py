"""A real engine, over every transport: what is asked, what is ended, what is left behind."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice

import pytest
from support.asking import PATIENT, Reader, connected, descriptors, readings, unconnected
from support.daemons.certificates import Certificates
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import slack, wait_until
from support.fakes.engine import FakeEngine

from agent.collection.engine_source import PollSource
from agent.engine.client import MAX_IDLE_CONNECTIONS, EngineClient
from agent.engine.errors import EngineUnreachableError, NoSuchContainerError
from agent.runtime.cancel import CancelledError, CancelToken


def test_introduces_itself(engine: PrivateEngine) -> None:
    """The engine says its version, and one API version is agreed on."""
    info = unconnected(engine.url).connect()
    assert info["version"] == engine.docker("version", "--format", "{{.Server.Version}}")
    assert info["cgroup"] == engine.docker("info", "--format", "{{.CgroupVersion}}")
    assert tuple(map(int, info["api"].split("."))) >= (1, 24)


def test_list_and_inspect(engine: PrivateEngine) -> None:
    """All containers are listed, stopped ones too, and each can be asked about."""
    asked = connected(engine.url)
    asked.ping()
    running, stopped = engine.run("sleep", "600", name="running"), engine.run("true", name="stopped")
    engine.docker("wait", stopped)
    rows = {row["Id"]: row for row in asked.list_containers()}
    assert rows[running]["Names"] == ["/running"]
    assert {rows[running]["State"], rows[stopped]["State"]} == {"running", "exited"}
    assert asked.inspect(running)["State"]["Running"] is True
    assert asked.inspect("stopped")["Id"] == stopped
    with pytest.raises(NoSuchContainerError):
        asked.inspect("no-such-container")


# Ending a blocked read


def ends_at_once(engine: EngineClient, container: str) -> None:
    """Hold for a stream that ticks, one that is silent and an answer that is waited for."""
    for read in (engine.stats_stream, lambda _, cancel: engine.events(None, cancel)):
        cancel = CancelToken()
        reader: Reader[object] = Reader(read(container, cancel))
        reader.next()
        begun = time.monotonic()
        cancel.set()
        assert reader.end() is None
        assert time.monotonic() - begun < slack()
    before = engine.counters()["errors"]
    cancel = CancelToken()
    cancel.set()
    with pytest.raises(CancelledError):
        engine.stats_once(container, cancel)
    assert engine.counters()["errors"] == before


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_ends_over_unix(engine: PrivateEngine) -> None:
    """A read over a unix socket is ended at once from another thread."""
    ends_at_once(connected(engine.url), engine.run("sleep", "600"))


def test_ends_over_tcp(own_engine: Callable[..., PrivateEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one over TCP, which no proxy of the environment gets to see."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    port = free_port()
    real = own_engine(f"--host=tcp://127.0.0.1:{port}")
    asked = connected(f"tcp://127.0.0.1:{port}")
    assert asked.local is False
    ends_at_once(asked, real.run("sleep", "600"))


def test_ends_over_tls(own_engine: Callable[..., PrivateEngine], certificates: Certificates) -> None:
    """So is one over TLS, where both sides show a certificate; one that is not trusted is named with the remedy."""
    url = f"tcp://127.0.0.1:{free_port()}"
    known = certificates
    files = [f"--tlscacert={known.ca}", f"--tlscert={known.server}", f"--tlskey={known.server_key}"]
    real = own_engine("--tlsverify", *files, f"--host={url}")
    own = (str(known.client), str(known.client_key))
    ends_at_once(connected(url, tls=(str(known.ca), *own)), real.run("sleep", "600"))
    with pytest.raises(EngineUnreachableError, match=r"certificate verify failed.*engine\.tls_ca"):
        connected(url, tls=(str(known.stranger), *own))
    with pytest.raises(EngineUnreachableError, match=r"engine\.tls_ca, tls_cert and tls_key"):
        connected(url, tls=(str(known.ca), "", ""))


# An engine that does not answer


def test_frozen_engine(own_engine: Callable[..., PrivateEngine]) -> None:
    """Whatever was asked of an engine that is frozen fails within its timeout, and works again when it is thawed."""
    real = own_engine()
    container = real.run("sleep", "600")
    asked = connected(real.url, timeout=1)
    stream = Reader(asked.stats_stream(container, CancelToken()))
    events = Reader(asked.events(None, CancelToken()))
    stream.next()
    events.next()
    real.freeze()
    begun = time.monotonic()
    for call in (lambda: asked.inspect(container), asked.list_containers, asked.ping, asked.connect):
        with pytest.raises(EngineUnreachableError, match="did not answer within 1 s"):
            call()
    assert isinstance(stream.end(), EngineUnreachableError)
    assert isinstance(events.end(), EngineUnreachableError)
    assert time.monotonic() - begun < 4 * 1 + PATIENT / 2
    real.thaw()
    assert connected(real.url).inspect(container)["Id"] == container


def test_engine_that_comes_back(own_engine: Callable[..., PrivateEngine]) -> None:
    """A killed engine is unreachable, and is found again when it is back: its old connections are not in the way."""
    real = own_engine("--live-restore")
    container = real.run("sleep", "600")
    asked = connected(real.url)
    stream = Reader(asked.stats_stream(container, CancelToken()))
    stream.next()
    real.kill()
    assert isinstance(stream.end(), EngineUnreachableError)
    with pytest.raises(EngineUnreachableError, match="is the engine running there"):
        asked.inspect(container)
    real.start()
    asked.connect()
    assert asked.inspect(container)["Id"] == container
    assert len(list(islice(readings(PollSource(asked), container, 1.0, CancelToken()), 2))) == 2


# What is left behind


def test_nothing_is_left_open(engine: PrivateEngine) -> None:
    """Two hundred streams later, left or ended in every way, no descriptor more is open than the idle ones."""
    container = engine.run("sleep", "600")
    asked = connected(engine.url)

    def left() -> Iterator[bytes]:
        with closing(asked.stats_stream(container, CancelToken())) as stream:
            yield next(stream)

    def ended() -> Iterator[bytes]:
        for raw in asked.stats_stream(container, cancel := CancelToken()):
            yield raw
            cancel.set()

    def refused() -> Iterator[bytes]:
        yield next(asked.stats_stream("no-such-container", CancelToken()))

    def round_of_streams() -> None:
        # Side by side, because each waits up to a second for the engine's tick.
        readers = [Reader(read()) for read in (left, ended) for _ in range(25)]
        assert all(reader.next() for reader in readers)
        assert [reader.end() for reader in readers] == [None] * 50
        assert isinstance(Reader(refused()).end(), NoSuchContainerError)

    before = descriptors()
    for _ in range(4):
        round_of_streams()
    assert descriptors() <= before + MAX_IDLE_CONNECTIONS


def test_idle_connections_are_few(fake_engine: FakeEngine) -> None:
    """Calls of many threads at once do not leave a connection each, and nothing is said about those let go."""
    containers = [fake_engine.run(f"web-{number}") for number in range(60)]
    fake_engine.one_shot_waits = True
    asked = connected(fake_engine.url)
    before = descriptors()
    readers = [Reader(iter([asked.stats_once(containers[0].id, CancelToken())]))]
    readers += [Reader(once(asked, container.id)) for container in containers]
    for reader in readers:
        assert reader.next()
        assert reader.end() is None
    # Both ends of a connection are ours here, and the fake closes its own a moment after the agent's.
    wait_until(lambda: descriptors() - before <= 2 * 32, PATIENT, "connections are left behind")


def once(engine: EngineClient, container_id: str) -> Iterator[bytes]:
    """Ask when it is iterated, in the reader's thread."""
    yield engine.stats_once(container_id, CancelToken())
