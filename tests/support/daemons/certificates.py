"""Certificates for TLS, made with the `openssl` command."""

import subprocess
from pathlib import Path


class Certificates:
    """Two authorities; of the first one, certificates of a server, good and bad, and of clients. All in files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ca, self.ca_key = self._authority("ca")
        self.stranger, _ = self._authority("stranger")
        self.server, self.server_key = self._signed("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self.misnamed, self.misnamed_key = self._signed("misnamed", "subjectAltName=DNS:elsewhere.example")
        self.expired, self.expired_key = self._signed("expired", "subjectAltName=IP:127.0.0.1", days=-1)
        self.client, self.client_key = self._signed("client", "extendedKeyUsage=clientAuth")
        self.renewed, self.renewed_key = self._signed("renewed", "extendedKeyUsage=clientAuth")

    def _authority(self, name: str) -> tuple[Path, Path]:
        certificate, key = self._paths(name)
        self._openssl("req", "-x509", *_new(key), "-days", "2", "-subj", f"/CN={name}", "-out", certificate)
        return certificate, key

    def _signed(self, name: str, extension: str, days: int = 2) -> tuple[Path, Path]:
        certificate, key = self._paths(name)
        request, extensions = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
        extensions.write_text(extension)
        self._openssl("req", *_new(key), "-subj", f"/CN={name}", "-out", request)
        signing = ("-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days", str(days), "-extfile", extensions)
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
