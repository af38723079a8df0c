"""Connecting to each kind of address, and the errors where that is not possible."""

import socket
from pathlib import Path

import pytest
from support.daemons.certificates import Certificates
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import wait_until
from support.daemons.subscriber import retained
from support.fakes.scripted_broker import CONNECT, ScriptedBroker

from agent.mqtt.errors import BrokerUnreachableError
from mqtt.harness import (
    STATUS,
    WAIT_SECONDS,
    ExpectWarnings,
    OwnBroker,
    Publish,
    Subscribe,
    connect_error,
    is_listening,
    status,
    usage,
)


@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss", "unix"])
def test_burst_is_delivered_over_each_transport(
    own_broker: OwnBroker, publish: Publish, certificates: Certificates, short_path: Path, scheme: str
) -> None:
    """Messages go over TLS, WebSockets and unix sockets, and none of a burst stays in a buffer."""
    socket_path, port = short_path / "mqtt.sock", free_port()
    # Beside the broker's plain listener: mosquitto 2.0.11 does not start with a listener for WebSockets alone.
    listener = [f"listener 0 {socket_path}" if scheme == "unix" else f"listener {port} 127.0.0.1"]
    websockets = ["protocol websockets"] if scheme in ("ws", "wss") else []
    tls = certificates.lines() if scheme in ("mqtts", "wss") else []
    broker = own_broker(*listener, *websockets, *tls)
    wait_until(lambda: socket_path.exists() or is_listening(port), WAIT_SECONDS, "the second listener")
    url = f"unix://{socket_path}" if scheme == "unix" else f"{scheme}://127.0.0.1:{port}"
    running = publish(url, tls_ca=str(certificates.ca))
    running.deliver(status(), *(usage(number, size=500) for number in range(200)))
    assert running.counters() == {"waiting": 0, "sent": 200, "dropped": 0}
    assert retained(broker.url, STATUS) == {STATUS: b"running"}


def test_error_names_address_and_remedy(short_path: Path) -> None:
    """If nothing listens at an address, the error says where, and what to check."""
    port = free_port()
    for url in (f"mqtt://127.0.0.1:{port}", f"wss://127.0.0.1:{port}/mqtt", f"unix://{short_path}/none"):
        error = connect_error(url)
        assert isinstance(error, BrokerUnreachableError)
        assert str(error) == f"{url}: nobody listens there; is the broker running?"
    assert "check broker.url" in str(connect_error("mqtt://no-such-host.invalid"))


def test_full_unix_socket_is_an_error(short_path: Path) -> None:
    """A unix socket whose listener accepts no connections does not block the agent for ever."""
    place = short_path / "full.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(place))
        listener.listen(0)
        waiting.connect(str(place))
        assert "accepts no more connections" in str(connect_error(f"unix://{place}"))


@pytest.mark.slow
def test_silent_broker_is_called_frozen(scripted_broker: ScriptedBroker) -> None:
    """A broker that does not answer is not tried with an older version, even if the keepalive is short."""
    scripted_broker.answer = lambda _: b""
    assert "is it frozen?" in str(connect_error(scripted_broker.url, keepalive=1))
    assert [packet.level for packet in scripted_broker.received(CONNECT)] == [5]


def test_next_address_is_tried_at_once(broker: Mosquitto, publish: Publish) -> None:
    """As long as one of several addresses works, there is no wait and no trouble."""
    dead = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(3)]
    running = publish([*dead, broker.url])
    running.deliver(usage())
    assert running.publisher.trouble is None


def test_error_names_every_address(publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """If none of several addresses works, the error names each of them."""
    expected_warnings("nobody listens there")
    urls = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(2)]
    trouble = publish(urls).wait_trouble()
    assert all(url in trouble for url in urls)


def test_default_client_id_contains_host(broker: Mosquitto, subscribe: Subscribe, publish: Publish) -> None:
    """Without `broker.client_id` the agent is `usage-agent-<host>`."""
    subscriber = subscribe(broker.url, STATUS)
    publish(broker.url).deliver(status("here"))
    subscriber.on(STATUS)
    assert "usage-agent-host" in broker.log
