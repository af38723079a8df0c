"""TLS: which certificates are accepted, and the errors for those that are not."""

from pathlib import Path

import pytest
from support.daemons.certificates import Certificates
from support.daemons.mosquitto import Mosquitto

from agent.mqtt.errors import BrokerRefusedError
from mqtt.harness import OwnBroker, connect_error, probe_lines


def tls_url(broker: Mosquitto) -> str:
    return broker.url.replace("mqtt", "mqtts", 1)


def test_certificate_of_unknown_authority_is_refused(own_broker: OwnBroker, certificates: Certificates) -> None:
    """The broker's certificate has to be signed by a trusted authority, unless tls_insecure is set."""
    url = tls_url(own_broker(*certificates.lines()))
    error = connect_error(url, tls_ca=str(certificates.stranger))
    assert isinstance(error, BrokerRefusedError)
    assert "is not trusted" in str(error)
    assert "broker.tls_ca" in str(error)
    assert isinstance(connect_error(url), BrokerRefusedError), "the system's authorities have not signed it either"
    assert "MQTT 5" in probe_lines(url, tls_insecure=True)[0]


def test_certificate_of_other_host_is_refused(own_broker: OwnBroker, certificates: Certificates) -> None:
    """The broker's certificate has to be for the host in broker.url."""
    url = tls_url(own_broker(*certificates.lines(certificates.misnamed, certificates.misnamed_key)))
    error = connect_error(url, tls_ca=str(certificates.ca))
    assert "certificate is not valid for '127.0.0.1'" in str(error)


def test_client_certificate_is_sent(own_broker: OwnBroker, certificates: Certificates) -> None:
    """A broker that requires a certificate gets the agent's; without one, the error says what to set."""
    url = tls_url(own_broker("require_certificate true", *certificates.lines()))
    trusted = {"tls_ca": str(certificates.ca)}
    client = {"tls_cert": str(certificates.client), "tls_key": str(certificates.client_key)}
    assert "MQTT 5" in probe_lines(url, **trusted, **client)[0]
    assert "broker.tls_cert" in str(connect_error(url, **trusted))


@pytest.mark.parametrize("key", ["tls_ca", "tls_cert", "tls_key"])
def test_unusable_file_is_named_with_its_key(certificates: Certificates, tmp_path: Path, key: str) -> None:
    """The error for a missing file, or one that is no certificate, names the file and its key."""
    broken, missing = tmp_path / "broken.pem", tmp_path / "missing.pem"
    broken.write_text("no certificate")
    files = {"tls_ca": certificates.ca, "tls_cert": certificates.client, "tls_key": certificates.client_key}
    for place in (broken, missing):
        keys = {name: str(file) for name, file in {**files, key: place}.items()}
        error = connect_error("mqtts://127.0.0.1", **keys)
        assert isinstance(error, BrokerRefusedError)
        assert f"broker.{key}" in str(error)
        assert str(place) in str(error)


def test_replaced_file_is_read_at_next_attempt(
    own_broker: OwnBroker, certificates: Certificates, tmp_path: Path
) -> None:
    """A certificate file that was replaced is used without a restart of the agent."""
    file = tmp_path / "ca.pem"
    file.write_bytes(certificates.stranger.read_bytes())
    url = tls_url(own_broker(*certificates.lines()))
    assert isinstance(connect_error(url, tls_ca=str(file)), BrokerRefusedError)
    file.write_bytes(certificates.ca.read_bytes())
    assert "MQTT 5" in probe_lines(url, tls_ca=str(file))[0]


def test_tls_at_plain_port_is_recognised(own_broker: OwnBroker, broker: Mosquitto, certificates: Certificates) -> None:
    """TLS to a port without TLS, or the reverse, is told apart from a broker that is away."""
    assert "TLS" in str(connect_error(tls_url(broker)))
    assert "is that an MQTT broker?" in str(connect_error(own_broker(*certificates.lines()).url))
