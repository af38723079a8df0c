"""A publisher in a thread of its own, certificates, and a peer that does as it is told."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config import BackoffSettings
from broker.harness import RunningPublisher
from broker.peer import Peer


@pytest.fixture
def publish() -> Iterator[Callable[..., RunningPublisher]]:
    """Give a maker of running publishers: `publish(broker.url, keepalive=2)`, `publish([url, url], backoff=60)`."""
    made: list[RunningPublisher] = []

    def make(url: str | list[str], *, backoff: float = 60.0, capacity: int = 1000, **keys: object) -> RunningPublisher:
        urls = (url,) if isinstance(url, str) else tuple(url)
        settings = BackoffSettings(base=backoff, factor=1, cap=max(backoff, 0.001))
        made.append(RunningPublisher(urls, settings, capacity, keys))
        return made[-1]

    yield make
    for publisher in made:
        publisher.stop(0)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Give somebody who listens like a broker, and does as he is told."""
    made = Peer()
    yield made
    made.close()


class Certificates:
    """Two authorities, a server's certificate for this machine and a client's, of the first one. All in files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ca, self.ca_key = self._authority("ca")
        self.stranger, _ = self._authority("stranger")
        self.server, self.server_key = self._signed("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self.misnamed, self.misnamed_key = self._signed("misnamed", "subjectAltName=DNS:elsewhere.example")
        self.client, self.client_key = self._signed("client", "extendedKeyUsage=clientAuth")

    def _authority(self, name: str) -> tuple[Path, Path]:
        certificate, key = self._paths(name)
        self._openssl("req", "-x509", *_new(key), "-days", "2", "-subj", f"/CN={name}", "-out", certificate)
        return certificate, key

    def _signed(self, name: str, extension: str) -> tuple[Path, Path]:
        certificate, key = self._paths(name)
        request, extensions = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
        extensions.write_text(extension)
        self._openssl("req", *_new(key), "-subj", f"/CN={name}", "-out", request)
        signing = ("-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days", "2", "-extfile", extensions)
        self._openssl("x509", "-req", "-in", request, *signing, "-out", certificate)
        return certificate, key

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self._directory / f"{name}.pem", self._directory / f"{name}.key"

    @staticmethod
    def _openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def lines(self, server: Path | None = None, key: Path | None = None) -> list[str]:
        """Return what makes mosquitto's listener one of TLS."""
        return [f"cafile {self.ca}", f"certfile {server or self.server}", f"keyfile {key or self.server_key}"]


def _new(key: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key)


@pytest.fixture(scope="session")
def certificates(session_path: Path) -> Certificates:
    """Give certificates, made with the `openssl` command."""
    directory = session_path / "certificates"
    directory.mkdir(exist_ok=True)
    return Certificates(directory)
