"""What can go wrong with the broker, cut by what can be done about it, and every message with its remedy."""

import re
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from agent.config import Address
from agent.mqtt.callbacks import Hearsay
from agent.mqtt.reachability import Seen, Sighting
from agent.mqtt.reason_codes import KEEPALIVE_TIMEOUT, OWN_ID, TAKEN_OVER, connection_remedy, temporary

_ALERT = re.compile(r"alert [a-z ]*(certificate|unknown ca|access denied|handshake failure)[a-z ]*\b")

_CERTIFICATE = {
    9: "it is not valid yet: is the clock of this machine right?",
    10: "let who runs the broker renew it; or is the clock of this machine wrong?",
    62: "set broker.url to the name it was made for",
    64: "set broker.url to the name it was made for",
}
"""What to do about a certificate, by OpenSSL's X509_V_ERR_…"""


class BrokerError(Exception):
    """The broker cannot be used; the message names the place and the remedy, and no secret.

    `sightings` is what was seen of the broker, to be told when it is back; empty where waiting for that is no use.
    """

    def __init__(self, message: str, *sightings: Sighting) -> None:
        super().__init__(message)
        self.sightings = sightings


class BrokerUnreachable(BrokerError):
    """The broker is away, frozen or was lost: it will do to try again, best when it is seen to be back."""


class BrokerRefused(BrokerError):
    """The broker said no, or cannot be trusted: somebody has to change something. `code` is its reason, if given."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def taken_over(error: BrokerError) -> bool:
    """Whether the broker has ended the connection because another client came with the same client id."""
    return isinstance(error, BrokerRefused) and error.code == TAKEN_OVER


def ended(address: Address, client_id: str, heard: Hearsay, lasting: bool) -> BrokerError:
    """Return why there is no connection any more, by what was heard; `lasting`: it had been open for a while."""
    if heard.connack is None:
        return _closed(address, heard.complaint)
    reason, _ = heard.connack
    if reason.is_failure:
        return _refusal(address, client_id, "refuses the agent", reason)
    by_broker, reason = heard.goodbye or (False, None)
    if by_broker:
        return _refusal(address, client_id, "has ended the connection", reason)
    timed_out = reason is not None and reason.value == KEEPALIVE_TIMEOUT
    complaint = "no sign of life from it" if timed_out else heard.complaint or "it closed it"
    if not lasting and not timed_out:  # many a broker throws out the one of two who was first without a word
        complaint += f"; if another client uses the same client id ({client_id}), {OWN_ID}"
    return _lost(address, complaint, lasting)


def _refusal(address: Address, client_id: str, what: str, reason: Any) -> BrokerError:
    message = f"{address} {what}: {reason}; {connection_remedy(reason.value, client_id)}"
    if temporary(reason.value):
        return BrokerUnreachable(message, Sighting(address, Seen.ANSWERING))
    return BrokerRefused(message, reason.value)


def _closed(address: Address, complaint: str) -> BrokerError:
    """Return the error for a connection that was closed before the broker had accepted it.

    What the socket said of it is left out: whether that is a reset or an end is chance, and would be told as news.
    """
    if address.tls and (alert := _ALERT.search(complaint)):
        return _distrusted(address, alert[0])
    ask = "does it ask for a certificate (broker.tls_cert)?" if address.tls else "is that an MQTT broker?"
    message = f"{address} closed the connection instead of answering; {ask} Or has it all the clients that it takes?"
    return BrokerUnreachable(message, Sighting(address, Seen.CLOSING))


def _distrusted(address: Address, alert: str) -> BrokerRefused:
    remedy = "set broker.tls_cert and broker.tls_key to a certificate that it trusts"
    return BrokerRefused(f"{address} does not accept the agent's certificate, or wants one: {alert}; {remedy}")


def _lost(address: Address, complaint: str, lasting: bool) -> BrokerUnreachable:
    """Return the error for an established connection that ended without a word of the broker.

    After a lasting one it is worth trying again as soon as anybody answers. One that was lost at once is not: two
    agents with one client id would throw each other out as fast as they can.
    """
    seen = Seen.NOTHING if lasting else Seen.ANSWERING
    return BrokerUnreachable(f"lost the connection to {address}: {complaint}", Sighting(address, seen))


def connecting_failed(address: Address, error: Exception) -> BrokerError:
    """Return the error for what the system, TLS or the web server raised while connecting."""
    match error:
        case ssl.SSLCertVerificationError():
            remedy = _CERTIFICATE.get(error.verify_code, "set broker.tls_ca to the authority that signed it")
            return BrokerRefused(f"{address} has a certificate that is not trusted: {error.verify_message}; {remedy}")
        case ssl.SSLError() if alert := _ALERT.search(str(error)):
            return _distrusted(address, alert[0])
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            reason = (error.reason or str(error)).replace("_", " ").lower()
            return BrokerRefused(f"{address}: TLS failed: {reason}; does the broker speak TLS at this port?")
        case PermissionError():
            return BrokerRefused(f"{address}: permission denied; let the agent's user write to this socket")
        case UnicodeError():
            return BrokerRefused(f"{address}: this host name cannot be looked up; check broker.url")
    seen, text = _unreachable(address, error)
    return BrokerUnreachable(f"{address}: {text}", Sighting(address, seen))


def _unreachable(address: Address, error: Exception) -> tuple[Seen, str]:
    match error:
        case socket.gaierror():
            return Seen.NOTHING, f"cannot look the host name up: {error.strerror}; check broker.url and the name server"
        case TimeoutError():
            return Seen.SILENT, "no answer; is the broker running, and does a firewall let the agent through?"
        case ConnectionRefusedError() | FileNotFoundError():
            return Seen.NOTHING, "nobody listens there; is the broker running?"
        case BlockingIOError():
            return Seen.NOTHING, "it accepts no more connections; is the broker frozen?"
        case ConnectionError() | ssl.SSLError():
            asked = "does it speak TLS at this port" if address.tls else "does it speak MQTT at this port and path"
            return Seen.CLOSING, f"it closed the connection: {error}; {asked}?"
    return Seen.NOTHING, f"{getattr(error, 'strerror', None) or error}; check broker.url and the network"


def all_failed(errors: Sequence[BrokerError]) -> BrokerError:
    """Return one error for a round in which no address worked."""
    if len(errors) == 1:
        return errors[0]
    message = " | ".join(map(str, errors))
    sightings = [sighting for error in errors for sighting in error.sightings]
    return BrokerUnreachable(message, *sightings) if sightings else BrokerRefused(message)
