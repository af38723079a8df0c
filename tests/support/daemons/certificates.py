"""Certificates for TLS as files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

HERE = ("127.0.0.1", "localhost")


class Certificates:
    """Two authorities, `ca` and `stranger`, and certificates of brokers and agents that `ca` has signed.

    `server` is valid for the local host, `misnamed` is for another host, and `expired` has expired.
    `client` and `renewed` are two certificates for an agent.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        authority = trustme.CA()
        self.ca = self._write("ca", authority.cert_pem)
        self.stranger = self._write("stranger", trustme.CA().cert_pem)
        yesterday = datetime.now(UTC) - timedelta(days=1)
        expired = authority.issue_cert(*HERE, not_before=yesterday - timedelta(days=1), not_after=yesterday)
        self.server, self.server_key = self._write_pair("server", authority.issue_cert(*HERE))
        self.misnamed, self.misnamed_key = self._write_pair("misnamed", authority.issue_cert("elsewhere.example"))
        self.expired, self.expired_key = self._write_pair("expired", expired)
        self.client, self.client_key = self._write_pair("client", authority.issue_cert(*HERE, common_name="client"))
        self.renewed, self.renewed_key = self._write_pair("renewed", authority.issue_cert(*HERE, common_name="renewed"))

    def lines(self, server: Path | None = None, key: Path | None = None) -> list[str]:
        """Return the lines of mosquitto's configuration that enable TLS."""
        return [f"cafile {self.ca}", f"certfile {server or self.server}", f"keyfile {key or self.server_key}"]

    def _write_pair(self, name: str, issued: trustme.LeafCert) -> tuple[Path, Path]:
        """Write a certificate and its key."""
        (certificate,) = issued.cert_chain_pems
        return self._write(name, certificate), self._write(f"{name}-key", issued.private_key_pem)

    def _write(self, name: str, content: trustme.Blob) -> Path:
        path = self._directory / f"{name}.pem"
        content.write_to_path(str(path))
        return path
