"""A real engine over every transport: calls, cancelled reads, lost engines, and descriptors left open."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice

import pytest
from support.daemons.certificates import Certificates
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import PATIENCE, slack, wait_until
from support.engine_client import ReaderThread, connected, descriptors, readings, unconnected
from support.fakes.engine import FakeEngine

from agent.collection.engine_source import PollSource
from agent.engine.client import EngineClient
from agent.engine.errors import EngineUnreachableError, NoSuchContainerError
from agent.engine.session import MAX_IDLE_CONNECTIONS
from agent.runtime.cancel import CancelledError, CancelToken


def test_connect_returns_the_engines_versions(engine: PrivateEngine) -> None:
    """The engine's version and cgroup version are those that `docker` shows."""
    info = unconnected(engine.url).connect()
    assert info["version"] == engine.docker("version", "--format", "{{.Server.Version}}")
    assert info["cgroup"] == engine.docker("info", "--format", "{{.CgroupVersion}}")
    assert tuple(map(int, info["api"].split("."))) >= (1, 24)


def test_all_containers_are_listed_and_inspected(engine: PrivateEngine) -> None:
    """Stopped containers are listed, too; inspect takes an id or a name."""
    client = connected(engine.url)
    client.ping()
    running, stopped = engine.run("sleep", "600", name="running"), engine.run("true", name="stopped")
    engine.docker("wait", stopped)
    rows = {row["Id"]: row for row in client.list_containers()}
    assert rows[running]["Names"] == ["/running"]
    assert {rows[running]["State"], rows[stopped]["State"]} == {"running", "exited"}
    assert client.inspect(running)["State"]["Running"] is True
    assert client.inspect("stopped")["Id"] == stopped
    with pytest.raises(NoSuchContainerError):
        client.inspect("no-such-container")


def assert_cancelling_ends_reads(engine: EngineClient, container: str) -> None:
    """Fail if cancelling does not end a stream with documents, one without events, and a call, all at once."""
    for read in (engine.stats_stream, lambda _, cancel: engine.events(None, cancel)):
        cancel = CancelToken()
        reader: ReaderThread[object] = ReaderThread(read(container, cancel))
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
    """Return a port on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_cancelling_ends_reads_over_a_unix_socket(engine: PrivateEngine) -> None:
    """Another thread ends a blocked read at once."""
    assert_cancelling_ends_reads(connected(engine.url), engine.run("sleep", "600"))


def test_cancelling_ends_reads_over_tcp(
    own_engine: Callable[..., PrivateEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same over TCP, for which proxies in the environment are not used."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    port = free_port()
    real = own_engine(f"--host=tcp://127.0.0.1:{port}")
    client = connected(f"tcp://127.0.0.1:{port}")
    assert client.local is False
    assert_cancelling_ends_reads(client, real.run("sleep", "600"))


def test_cancelling_ends_reads_over_tls(own_engine: Callable[..., PrivateEngine], certificates: Certificates) -> None:
    """The same over TLS with certificates on both sides; one that is not trusted is an error with the remedy."""
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    files = {"tlscacert": certificates.ca, "tlscert": certificates.server, "tlskey": certificates.server_key}
    real = own_engine("--tlsverify", *(f"--{name}={path}" for name, path in files.items()), f"--host={url}")
    ca, own = str(certificates.ca), (str(certificates.client), str(certificates.client_key))
    assert_cancelling_ends_reads(connected(url, tls=(ca, *own)), real.run("sleep", "600"))
    with pytest.raises(EngineUnreachableError, match=r"certificate verify failed.*engine\.tls_ca"):
        connected(url, tls=(str(certificates.stranger), *own))
    with pytest.raises(EngineUnreachableError, match=r"engine\.tls_ca, tls_cert and tls_key"):
        connected(url, tls=(ca, "", ""))


def test_calls_to_a_frozen_engine_fail_within_the_timeout(own_engine: Callable[..., PrivateEngine]) -> None:
    """Calls, streams and events fail within the timeout, and work again when the engine continues."""
    real = own_engine()
    container = real.run("sleep", "600")
    client = connected(real.url, timeout=1)
    stream = ReaderThread(client.stats_stream(container, CancelToken()))
    events = ReaderThread(client.events(None, CancelToken()))
    stream.next()
    events.next()
    real.freeze()
    begun = time.monotonic()
    for call in (lambda: client.inspect(container), client.list_containers, client.ping, client.connect):
        with pytest.raises(EngineUnreachableError, match="did not answer within 1 s"):
            call()
    assert isinstance(stream.end(), EngineUnreachableError)
    assert isinstance(events.end(), EngineUnreachableError)
    assert (
        time.monotonic() - begun < 4 * 1 + 2 + slack()
    )  # the calls one after the other, then the stream and the events
    real.thaw()
    assert connected(real.url).inspect(container)["Id"] == container


def test_killed_engine_is_found_again(own_engine: Callable[..., PrivateEngine]) -> None:
    """A killed engine is unreachable; after its restart the old connections do no harm."""
    real = own_engine("--live-restore")
    container = real.run("sleep", "600")
    client = connected(real.url)
    stream = ReaderThread(client.stats_stream(container, CancelToken()))
    stream.next()
    real.kill()
    assert isinstance(stream.end(), EngineUnreachableError)
    with pytest.raises(EngineUnreachableError, match="is the engine running there"):
        client.inspect(container)
    real.start()
    client.connect()
    assert client.inspect(container)["Id"] == container
    assert len(list(islice(readings(PollSource(client), container, 1.0, CancelToken()), 2))) == 2


def test_streams_leave_no_descriptor_open(engine: PrivateEngine) -> None:
    """After two hundred streams that ended in every way, only idle connections are open."""
    container = engine.run("sleep", "600")
    client = connected(engine.url)

    def closed() -> Iterator[bytes]:
        with closing(client.stats_stream(container, CancelToken())) as stream:
            yield next(stream)

    def cancelled() -> Iterator[bytes]:
        for raw in client.stats_stream(container, cancel := CancelToken()):
            yield raw
            cancel.set()

    def refused() -> Iterator[bytes]:
        yield next(client.stats_stream("no-such-container", CancelToken()))

    def open_and_end_streams() -> None:
        # Side by side, since each waits up to a second for the engine's next collection.
        readers = [ReaderThread(read()) for read in (closed, cancelled) for _ in range(25)]
        assert all(reader.next() for reader in readers)
        assert [reader.end() for reader in readers] == [None] * 50
        assert isinstance(ReaderThread(refused()).end(), NoSuchContainerError)

    before = descriptors()
    for _ in range(4):
        open_and_end_streams()
    assert descriptors() <= before + MAX_IDLE_CONNECTIONS


def test_idle_connections_are_limited(fake_engine: FakeEngine) -> None:
    """Many simultaneous calls do not leave a connection each, and the closed ones are not logged as warnings."""
    containers = [fake_engine.run(f"web-{number}") for number in range(60)]
    fake_engine.one_shot_waits = True
    client = connected(fake_engine.url)
    before = descriptors()
    readers = [ReaderThread(iter([client.stats_once(containers[0].id, CancelToken())]))]
    readers += [ReaderThread(stats_once(client, container.id)) for container in containers]
    for reader in readers:
        assert reader.next()
        assert reader.end() is None
    # Both ends of a connection are in this process; the fake engine closes its end a moment after the agent's.
    most = before + 2 * MAX_IDLE_CONNECTIONS
    wait_until(lambda: descriptors() <= most, PATIENCE, "too many connections stay open")


def stats_once(engine: EngineClient, container_id: str) -> Iterator[bytes]:
    """Make the call when it is iterated, in the reader's thread."""
    yield engine.stats_once(container_id, CancelToken())
