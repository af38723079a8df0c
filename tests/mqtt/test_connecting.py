"""All the ways to a broker, and what is said where there is none."""

import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemons.certificates import Certificates
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import wait_until
from support.daemons.subscriber import Subscriber, retained
from support.fakes.scripted_broker import CONNECT, Packet, ScriptedBroker, accept_all, connack

from agent.config import BrokerSettings, Secret
from agent.mqtt.connector import probe
from agent.mqtt.embedded import EmbeddedBroker
from agent.mqtt.errors import BrokerError, BrokerRefusedError, BrokerUnreachableError
from mqtt.harness import STATUS, WAIT, RunningPublisher, listening, status, usage

Publish = Callable[..., RunningPublisher]
OwnBroker = Callable[..., Mosquitto]
ExpectWarnings = Callable[..., None]
PASSWORD = "correct horse/battery@staple"


def settings(url: str, **keys: object) -> BrokerSettings:
    return BrokerSettings(url=(url,), **keys)  # type: ignore[arg-type]


def error(url: str, **keys: object) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        probe(settings(url, **keys))
    return caught.value


def scheme(broker: Mosquitto, name: str) -> str:
    return broker.url.replace("mqtt", name, 1)


def second_listener(own_broker: OwnBroker, *lines: str) -> int:
    """Start a broker with one more listener: mosquitto 2.0.11 does not start with one of WebSockets alone."""
    port = free_port()
    own_broker(f"listener {port} 127.0.0.1", *lines)
    wait_until(lambda: listening(port), WAIT, "the second listener")
    return port


def test_plain(broker: Mosquitto) -> None:
    """A probe tells what answered where."""
    assert re.fullmatch(
        rf"{broker.url} accepts the agent with MQTT 5 \(mosquitto version .*\)", probe(settings(broker.url))
    )


@pytest.mark.parametrize("name", ["mqtts", "wss"])
def test_tls(own_broker: OwnBroker, publish: Publish, certificates: Certificates, name: str) -> None:
    """Messages go over TLS to a broker whose certificate is of the authority given; a burst does not get stuck."""
    lines = ["protocol websockets"] if name == "wss" else []
    port = second_listener(own_broker, *lines, *certificates.lines())
    running = publish(f"{name}://127.0.0.1:{port}", tls_ca=str(certificates.ca))
    running.deliver(status(), *(usage(number, size=500) for number in range(200)))
    assert running.outbox.counters()["sent"] == 200


def test_websockets(own_broker: OwnBroker, publish: Publish) -> None:
    """Messages go over WebSockets."""
    running = publish(f"ws://127.0.0.1:{second_listener(own_broker, 'protocol websockets')}")
    running.deliver(status(), *(usage(number, size=500) for number in range(200)))
    assert running.outbox.counters()["sent"] == 200


def test_unix_socket(own_broker: OwnBroker, publish: Publish, short_path: Path) -> None:
    """Messages go over a unix socket."""
    place = short_path / "mqtt.sock"
    broker = own_broker(f"listener 0 {place}")
    publish(f"unix://{place}").deliver(status(), usage())
    assert retained(broker.url, STATUS) == {STATUS: b"running"}


def test_wrong_authority(own_broker: OwnBroker, certificates: Certificates) -> None:
    """A certificate of another authority is not trusted, unless everything is."""
    url = scheme(own_broker(*certificates.lines()), "mqtts")
    refused = error(url, tls_ca=str(certificates.stranger))
    assert isinstance(refused, BrokerRefusedError)
    assert "is not trusted" in str(refused)
    assert "broker.tls_ca" in str(refused)
    assert isinstance(error(url), BrokerRefusedError), "the system's authorities do not know it either"
    assert "MQTT 5" in probe(settings(url, tls_insecure=True))


def test_wrong_name(own_broker: OwnBroker, certificates: Certificates) -> None:
    """A certificate for another host is not trusted."""
    lines = certificates.lines(certificates.misnamed, certificates.misnamed_key)
    url = scheme(own_broker(*lines), "mqtts")
    assert "certificate is not valid for '127.0.0.1'" in str(error(url, tls_ca=str(certificates.ca)))


def test_mutual_tls(own_broker: OwnBroker, certificates: Certificates) -> None:
    """A broker that asks for a certificate gets the agent's; without one, the error says what to set."""
    url = scheme(own_broker("require_certificate true", *certificates.lines()), "mqtts")
    known = {"tls_ca": str(certificates.ca)}
    own = {"tls_cert": str(certificates.client), "tls_key": str(certificates.client_key)}
    assert "MQTT 5" in probe(settings(url, **known, **own))
    assert "broker.tls_cert" in str(error(url, **known))


@pytest.mark.parametrize("key", ["tls_ca", "tls_cert", "tls_key"])
def test_bad_tls_files(certificates: Certificates, tmp_path: Path, key: str) -> None:
    """A file that is missing or no certificate is named together with its key."""
    broken = tmp_path / "broken.pem"
    files = {"tls_ca": certificates.ca, "tls_cert": certificates.client, "tls_key": certificates.client_key}
    for place in (broken, tmp_path / "missing.pem"):
        broken.write_text("no certificate")
        refused = error("mqtts://127.0.0.1", **{name: str(file) for name, file in {**files, key: place}.items()})
        assert isinstance(refused, BrokerRefusedError)
        assert f"broker.{key}" in str(refused)
        assert str(place) in str(refused)


def test_renewed_authority(own_broker: OwnBroker, certificates: Certificates, tmp_path: Path) -> None:
    """Files are read for each attempt: a certificate that is replaced is used without a restart of the agent."""
    file = tmp_path / "ca.pem"
    file.write_bytes(certificates.stranger.read_bytes())
    url = scheme(own_broker(*certificates.lines()), "mqtts")
    with pytest.raises(BrokerRefusedError):
        probe(settings(url, tls_ca=str(file)))
    file.write_bytes(certificates.ca.read_bytes())
    assert "MQTT 5" in probe(settings(url, tls_ca=str(file)))


def test_tls_and_plain_mixed_up(own_broker: OwnBroker, broker: Mosquitto, certificates: Certificates) -> None:
    """TLS to a port without, and the other way round, are told apart from a broker that is away."""
    assert "TLS" in str(error(scheme(broker, "mqtts")))
    assert "is that an MQTT broker?" in str(error(own_broker(*certificates.lines()).url))


@pytest.fixture
def locked(own_broker: OwnBroker, short_path: Path) -> Mosquitto:
    """Give a broker that wants the password of `agent`."""
    file = short_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", file, "agent", PASSWORD], check=True, capture_output=True)
    return own_broker("allow_anonymous false", f"password_file {file}")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_password(locked: Mosquitto, tmp_path: Path, protocol: str) -> None:
    """The password comes from its key, from a file that ends in a newline, or from the address, which comes first."""
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    quoted = locked.url.replace("mqtt://", "mqtt://agent:correct%20horse%2Fbattery%40staple@")
    assert probe(settings(locked.url, protocol=protocol, username="agent", password=Secret(PASSWORD)))
    assert probe(settings(locked.url, protocol=protocol, username="agent", password_file=str(file)))
    assert probe(settings(quoted, protocol=protocol, username="other", password=Secret("wrong")))


@pytest.mark.parametrize("protocol", ["auto", "5", "3.1.1"])
def test_wrong_password(locked: Mosquitto, protocol: str) -> None:
    """A wrong password is a refusal, its remedy names the keys, and no secret is in it."""
    refused = error(locked.url, protocol=protocol, username="agent", password=Secret("wrong-secret"))
    assert isinstance(refused, BrokerRefusedError)
    assert locked.url in str(refused)
    assert "broker.username" in str(refused)
    assert "wrong-secret" not in f"{refused!s}{refused!r}{refused.__cause__!r}"


def test_missing_password_file(broker: Mosquitto, tmp_path: Path) -> None:
    """A password file that is not there is named."""
    assert f"broker.password_file: {tmp_path}/none" in str(error(broker.url, password_file=f"{tmp_path}/none"))


def test_nobody_there(short_path: Path) -> None:
    """Where nobody listens, the error says where, and what to look at."""
    port = free_port()
    for url in (f"mqtt://127.0.0.1:{port}", f"wss://127.0.0.1:{port}/mqtt", f"unix://{short_path}/none"):
        away = error(url)
        assert isinstance(away, BrokerUnreachableError)
        assert str(away) == f"{url}: nobody listens there; is the broker running?"
    assert "check broker.url" in str(error("mqtt://no-such-host.invalid"))


def test_full_unix_socket(short_path: Path) -> None:
    """A unix socket from which nobody takes is an error, not an endless wait."""
    place = short_path / "full.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(place))
        listener.listen(0)
        waiting.connect(str(place))
        assert "accepts no more connections" in str(error(f"unix://{place}"))


def test_no_mqtt_there(scripted_broker: ScriptedBroker) -> None:
    """Somebody who hangs up on us is asked about, not taken for an old broker for ever."""
    scripted_broker.answer = lambda _: None
    assert "is that an MQTT broker?" in str(error(scripted_broker.url))
    assert [packet.level for packet in scripted_broker.received(CONNECT)] == [5, 4]


def test_silence_is_not_hanging_up(scripted_broker: ScriptedBroker) -> None:
    """A frozen broker is called frozen also by an agent with a short keepalive, and not asked for an older version."""
    scripted_broker.answer = lambda _: b""
    assert "is it frozen?" in str(error(scripted_broker.url, keepalive=1))
    assert [packet.level for packet in scripted_broker.received(CONNECT)] == [5]


@pytest.mark.parametrize("refusal", [connack(5, 0x84), connack(4, 1), None])
def test_old_broker(scripted_broker: ScriptedBroker, publish: Publish, refusal: bytes | None) -> None:
    """A broker that does not know MQTT 5 and says so in either way, or hangs up, gets 3.1.1, at once."""

    def old(packet: Packet) -> bytes | None:
        if packet.kind == CONNECT:
            return connack(4) if packet.level == 4 else refusal
        return bytes([0x40, 2]) + packet.packet_id if packet.kind == 3 else b""

    scripted_broker.answer = old
    running = publish(scripted_broker.url, protocol="auto")
    running.deliver(usage())
    assert [packet.level for packet in scripted_broker.received(CONNECT)] == [5, 4]


def test_protocol_as_told(scripted_broker: ScriptedBroker) -> None:
    """Without `auto` there is no falling back, and the remedy names the key."""
    scripted_broker.answer = lambda packet: connack(5, 0x84) if packet.level == 5 else accept_all(packet)
    assert "broker.protocol" in str(error(scripted_broker.url, protocol="5"))
    assert [packet.level for packet in scripted_broker.received(CONNECT)] == [5]


def test_several_addresses(broker: Mosquitto, publish: Publish) -> None:
    """Of several addresses the next one is tried at once; nobody waits while one of them works."""
    dead = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(3)]
    running = publish([*dead, broker.url])
    running.deliver(usage())
    assert running.publisher.trouble is None


def test_no_address_works(publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """When none of several works, each is named."""
    expected_warnings("nobody listens there")
    urls = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(2)]
    trouble = publish(urls).wait_trouble()
    assert all(url in trouble for url in urls)


def test_check_leaves_the_agent_alone(broker: Mosquitto, publish: Publish) -> None:
    """Probing a broker does not throw the running agent out."""
    running = publish(broker.url, client_id="probed")
    running.deliver(usage())
    probe(settings(broker.url, client_id="probed"))
    running.deliver(usage())
    assert running.publisher.counters() == {"connects": 1, "disconnects": 0}


def test_embedded(publish: Publish) -> None:
    """The embedded broker takes messages and retains statuses, by MQTT 3.1.1, and ends when told to."""
    with EmbeddedBroker(port=free_port()) as embedded:
        url = f"mqtt://127.0.0.1:{embedded.port}"
        first = publish(url, protocol="3.1.1", client_id="first")
        first.deliver(status(), *(usage(number, size=500) for number in range(200)))
        assert first.outbox.counters()["sent"] == 200
        second = publish(url, protocol="3.1.1", client_id="second")
        assert second.inherited.get(timeout=WAIT) == {STATUS: b"running"}
        first.stop()
        second.stop()
    assert isinstance(error(url), BrokerUnreachableError)


def test_client_id(broker: Mosquitto, subscribe: Callable[..., Subscriber], publish: Publish) -> None:
    """Under its default client id the agent is `usage-agent-<host>`."""
    subscriber = subscribe(broker.url, STATUS)
    publish(broker.url).deliver(status("here"))
    subscriber.on(STATUS)
    assert "usage-agent-host" in broker.log
