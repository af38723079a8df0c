"""Certificates that are wrong, missing, expired or replaced: the log names the remedy, and new files are used."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.certificates import Certificates
from support.daemons.mosquitto import Mosquitto, free_port
from support.fakes.engine import FakeEngine

from faults.test_broker_refuses import BACKOFF, four_attempts, told_once

StartAgent = Callable[..., RunningAgent]
Record = Callable[..., RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]


class Files:
    """The agent's three files and the broker's two, which a test replaces."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        self.known = certificates
        self.ca, self.cert, self.key = (directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
        self.server, self.server_key = directory / "server.pem", directory / "server.key"
        self.trust(certificates.ca)
        self.serve(certificates.server, certificates.server_key)

    def trust(self, authority: Path) -> None:
        """Give the agent an authority."""
        shutil.copy(authority, self.ca)

    def own(self, certificate: Path, key: Path) -> None:
        """Give the agent a certificate."""
        shutil.copy(certificate, self.cert)
        shutil.copy(key, self.key)

    def serve(self, certificate: Path, key: Path) -> None:
        """Give the broker a certificate, which it uses from its next start on."""
        shutil.copy(certificate, self.server)
        shutil.copy(key, self.server_key)


@pytest.fixture
def files(short_path: Path, certificates: Certificates) -> Files:
    """Give files that are all valid."""
    return Files(short_path, certificates)


class TlsBroker:
    """A broker whose second listener uses TLS; the first is for subscribers of the test."""

    def __init__(self, own_broker: OwnBroker, files: Files, *lines: str) -> None:
        self.port = free_port()
        tls = files.known.lines(files.server, files.server_key)
        self.broker = own_broker(f"listener {self.port} 127.0.0.1", *tls, *lines)

    def settings(self, files: Files, **keys: str) -> dict[str, str]:
        """Return the broker settings of the agent."""
        return {"url": f"mqtts://127.0.0.1:{self.port}", "tls_ca": str(files.ca)} | keys

    def assert_left_in_peace(self) -> None:
        """Wait for the next attempts, and fail if they come faster than the backoff allows."""
        four_attempts(self.broker, rf"New connection .* on port {self.port}\.")


def test_wrong_authority_is_named_and_the_right_one_used(
    fake_engine: FakeEngine, own_broker: OwnBroker, files: Files, start_agent: StartAgent, record: Record
) -> None:
    """The right authority is used without a restart as soon as the file is replaced."""
    files.trust(files.known.stranger)
    broker = TlsBroker(own_broker, files)
    fake_engine.run("web")
    running = start_agent(fake_engine, broker.broker, backoff=BACKOFF, broker=broker.settings(files))
    broker.assert_left_in_peace()
    told_once(running, "not trusted: .*; set broker.tls_ca to the authority that signed it")
    files.trust(files.known.ca)
    record(broker.broker).usages("web")


@pytest.mark.parametrize("fault", ["expired", "misnamed"])
def test_invalid_certificate_of_the_broker_has_its_own_remedy(
    fake_engine: FakeEngine, own_broker: OwnBroker, files: Files, start_agent: StartAgent, record: Record, fault: str
) -> None:
    """Each fault has a remedy of its own; a broker with a new certificate is used without a restart."""
    bad = {
        "expired": (files.known.expired, files.known.expired_key),
        "misnamed": (files.known.misnamed, files.known.misnamed_key),
    }
    remedies = {
        "expired": "certificate has expired; let who runs the broker renew it",
        "misnamed": "not valid for '127.0.0.1'.*set broker.url to the name it was made for",
    }
    files.serve(*bad[fault])
    broker = TlsBroker(own_broker, files)
    fake_engine.run("web")
    running = start_agent(fake_engine, broker.broker, backoff=BACKOFF, broker=broker.settings(files))
    broker.assert_left_in_peace()
    told_once(running, remedies[fault])
    broker.broker.stop()
    files.serve(files.known.server, files.known.server_key)
    broker.broker.start()
    record(broker.broker).usages("web")


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_missing_certificate_of_the_agent_is_named(
    fake_engine: FakeEngine, own_broker: OwnBroker, files: Files, start_agent: StartAgent, version: str
) -> None:
    """The agent logs in one line what to set, whenever in the handshake the broker closes the connection."""
    broker = TlsBroker(own_broker, files, "require_certificate true", f"tls_version {version}")
    fake_engine.run("web")
    running = start_agent(fake_engine, broker.broker, backoff=BACKOFF, broker=broker.settings(files))
    broker.assert_left_in_peace()
    told_once(running, "does not accept the agent's certificate.*set broker.tls_cert and broker.tls_key")


def test_expired_certificate_of_the_agent_is_named(
    fake_engine: FakeEngine, own_broker: OwnBroker, files: Files, start_agent: StartAgent, record: Record
) -> None:
    """A new certificate is used at the next attempt."""
    files.own(files.known.expired, files.known.expired_key)
    broker = TlsBroker(own_broker, files, "require_certificate true")
    subscriber = record(broker.broker)
    fake_engine.run("web")
    own = {"tls_cert": str(files.cert), "tls_key": str(files.key)}
    running = start_agent(fake_engine, broker.broker, backoff=BACKOFF, broker=broker.settings(files, **own))
    broker.assert_left_in_peace()
    told_once(running, "does not accept the agent's certificate.*certificate expired")
    files.own(files.known.client, files.known.client_key)
    subscriber.usages("web")


def test_replaced_files_are_used_by_the_next_connection(
    fake_engine: FakeEngine, own_broker: OwnBroker, files: Files, start_agent: StartAgent, record: Record
) -> None:
    """Replacing them disturbs no connection; incomplete files are logged once, and used when they are whole."""
    files.own(files.known.client, files.known.client_key)
    broker = TlsBroker(own_broker, files, "require_certificate true", "use_identity_as_username true")
    subscriber = record(broker.broker)
    fake_engine.run("web")
    own = {"tls_cert": str(files.cert), "tls_key": str(files.key)}
    running = start_agent(fake_engine, broker.broker, backoff=BACKOFF, broker=broker.settings(files, **own))
    subscriber.usages("web")
    shutil.copy(files.known.renewed, files.cert)  # and the key not yet
    replaced = time.monotonic()
    subscriber.usages("web", count=2, after=replaced)
    assert "u'renewed'" not in broker.broker.log
    broker.broker.restart()
    running.wait_for_line(r"broker.tls_cert, broker.tls_key: .*key values mismatch")
    shutil.copy(files.known.renewed_key, files.key)
    mended = time.monotonic()
    subscriber.usages("web", after=mended)
    assert "u'renewed'" in broker.broker.log
