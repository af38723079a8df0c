"""TLS for the connection to the broker."""

import ssl
from contextlib import suppress
from typing import Any

from agent.config import BrokerSettings


class TlsFileError(Exception):
    """A certificate or key cannot be used. The message names its key in the configuration, the file and the reason."""


class _Socket(ssl.SSLSocket):
    """A TLS socket that closes itself if the handshake fails, and reads the alert if sending fails.

    Paho keeps no reference to a socket whose handshake failed, so it would stay open.

    With TLS 1.3 the handshake is over before the broker has seen the agent's certificate. A broker that rejects the
    certificate sends an alert and closes the connection. Whether the agent then fails in a read or in a write is
    chance, and only a read returns the alert with its reason.
    """

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (ssl.SSLEOFError, ConnectionError):
            with suppress(ssl.SSLWantReadError):
                self.recv(1)  # raises the alert, if there is one
            raise


def create_context(settings: BrokerSettings) -> ssl.SSLContext:
    """Return a TLS context with the certificates of the configuration.

    Called for each connection, because certificate files are replaced before they expire. Without `tls_ca` the
    system's authorities are trusted.

    Raises:
        TlsFileError: A file cannot be read or used.
    """
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise TlsFileError(f"broker.tls_ca: {settings.tls_ca}: {_reason(error)}") from error
    context.sslsocket_class = _Socket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls_cert:
        try:
            # Without a password callback OpenSSL would ask for a password on the terminal, and wait for ever.
            context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
        except (OSError, ValueError) as error:
            files = f"{settings.tls_cert}, {settings.tls_key or 'no separate key'}"
            raise TlsFileError(f"broker.tls_cert, broker.tls_key: {files}: {_reason(error)}") from error
    if settings.tls_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: Exception) -> str:
    """Return the reason that OpenSSL or the system gives, without error numbers."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
