"""TLS for the connection to the broker."""

import ssl
from contextlib import suppress
from typing import Any

from agent.config import BrokerSettings


class TlsFileError(Exception):
    """A certificate or key cannot be used; the message names its key in the configuration, the file and the reason."""


class _Socket(ssl.SSLSocket):
    """Closes itself when the handshake fails, since nobody else has a hold on it then.

    With TLS 1.3 the handshake is over before the broker has seen our certificate. When it does not like that it sends
    an alert and hangs up; whether we then notice at a read or at a write is chance, and only a read would tell why.
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


def context(settings: BrokerSettings) -> ssl.SSLContext:
    """Read the files and return what a connection is made with. Raises TlsFileError.

    Made anew for each connection, because files are replaced before certificates expire. Without `tls_ca` the system's
    authorities are trusted.
    """
    try:
        made = ssl.create_default_context(cafile=settings.tls_ca)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise TlsFileError(f"broker.tls_ca: {settings.tls_ca}: {_reason(error)}") from error
    made.sslsocket_class = _Socket
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls_cert:
        try:
            # Without a password callback OpenSSL would ask for one on the terminal, and wait for ever.
            made.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
        except (OSError, ValueError) as error:
            files = f"{settings.tls_cert}, {settings.tls_key or 'no separate key'}"
            raise TlsFileError(f"broker.tls_cert, broker.tls_key: {files}: {_reason(error)}") from error
    if settings.tls_insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _reason(error: Exception) -> str:
    """Say what OpenSSL or the system says of a file, without the numbers around it."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
