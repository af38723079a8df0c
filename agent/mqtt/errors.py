"""What can go wrong with the broker, cut by what can be done about it, and every message with its remedy."""

import re
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from agent.config import Address
from agent.mqtt.callbacks import ClientCallbacks
from agent.mqtt.reachability import Observation, Reachability
from agent.mqtt.reason_codes import KEEPALIVE_TIMEOUT, OWN_ID, TAKEN_OVER, connection_remedy, is_temporary

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

    def __init__(self, message: str, *observations: Observation) -> None:
        super().__init__(message)
        self.observations = observations


class BrokerUnreachableError(BrokerError):
    """The broker is away, frozen or was lost: it will do to try again, best when it is seen to be back."""


class BrokerRefusedError(BrokerError):
    """The broker said no, or cannot be trusted: somebody has to change something. `code` is its reason, if given."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def taken_over(error: BrokerError) -> bool:
    """Whether the broker has ended the connection because another client came with the same client id."""
    return isinstance(error, BrokerRefusedError) and error.code == TAKEN_OVER


def ended(address: Address, client_id: str, heard: ClientCallbacks, lasting: bool) -> BrokerError:
    """Return why there is no connection any more, by what was heard; `lasting`: it had been open for a while."""
    if heard.connack is None:
        return _closed(address, heard.last_error)
    reason, _ = heard.connack
    if reason.is_failure:
        return _refusal(address, client_id, "refuses the agent", reason)
    by_broker, reason = heard.disconnect or (False, None)
    if by_broker:
        return _refusal(address, client_id, "has ended the connection", reason)
    timed_out = reason is not None and reason.value == KEEPALIVE_TIMEOUT
    complaint = "no sign of life from it" if timed_out else heard.last_error or "it closed it"
    if not lasting and not timed_out:  # many a broker throws out the one of two who was first without a word
        complaint += f"; if another client uses the same client id ({client_id}), {OWN_ID}"
    return _lost(address, complaint, lasting)


def _refusal(address: Address, client_id: str, what: str, reason: Any) -> BrokerError:
    message = f"{address} {what}: {reason}; {connection_remedy(reason.value, client_id)}"
    if is_temporary(reason.value):
        return BrokerUnreachableError(message, Observation(address, Reachability.ANSWERING))
    return BrokerRefusedError(message, reason.value)


def _closed(address: Address, complaint: str) -> BrokerError:
    """Return the error for a connection that was closed before the broker had accepted it.

    What the socket said of it is left out: whether that is a reset or an end is chance, and would be told as news.
    """
    if address.tls and (alert := _ALERT.search(complaint)):
        return _distrusted(address, alert[0])
    ask = "does it ask for a certificate (broker.tls_cert)?" if address.tls else "is that an MQTT broker?"
    message = f"{address} closed the connection instead of answering; {ask} Or has it all the clients that it takes?"
    return BrokerUnreachableError(message, Observation(address, Reachability.CLOSING))


def _distrusted(address: Address, alert: str) -> BrokerRefusedError:
    remedy = "set broker.tls_cert and broker.tls_key to a certificate that it trusts"
    return BrokerRefusedError(f"{address} does not accept the agent's certificate, or wants one: {alert}; {remedy}")


def _lost(address: Address, complaint: str, lasting: bool) -> BrokerUnreachableError:
    """Return the error for an established connection that ended without a word of the broker.

    After a lasting one it is worth trying again as soon as anybody answers. One that was lost at once is not: two
    agents with one client id would throw each other out as fast as they can.
    """
    seen = Reachability.NOTHING if lasting else Reachability.ANSWERING
    return BrokerUnreachableError(f"lost the connection to {address}: {complaint}", Observation(address, seen))


def connecting_failed(address: Address, error: Exception) -> BrokerError:
    """Return the error for what the system, TLS or the web server raised while connecting."""
    match error:
        case ssl.SSLCertVerificationError():
            remedy = _CERTIFICATE.get(error.verify_code, "set broker.tls_ca to the authority that signed it")
            return BrokerRefusedError(
                f"{address} has a certificate that is not trusted: {error.verify_message}; {remedy}"
            )
        case ssl.SSLError() if alert := _ALERT.search(str(error)):
            return _distrusted(address, alert[0])
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            reason = (error.reason or str(error)).replace("_", " ").lower()
            return BrokerRefusedError(f"{address}: TLS failed: {reason}; does the broker speak TLS at this port?")
        case PermissionError():
            return BrokerRefusedError(f"{address}: permission denied; let the agent's user write to this socket")
        case UnicodeError():
            return BrokerRefusedError(f"{address}: this host name cannot be looked up; check broker.url")
    seen, text = _unreachable(address, error)
    return BrokerUnreachableError(f"{address}: {text}", Observation(address, seen))


def _unreachable(address: Address, error: Exception) -> tuple[Reachability, str]:
    match error:
        case socket.gaierror():
            return (
                Reachability.NOTHING,
                f"cannot look the host name up: {error.strerror}; check broker.url and the name server",
            )
        case TimeoutError():
            return Reachability.SILENT, "no answer; is the broker running, and does a firewall let the agent through?"
        case ConnectionRefusedError() | FileNotFoundError():
            return Reachability.NOTHING, "nobody listens there; is the broker running?"
        case BlockingIOError():
            return Reachability.NOTHING, "it accepts no more connections; is the broker frozen?"
        case ConnectionError() | ssl.SSLError():
            asked = "does it speak TLS at this port" if address.tls else "does it speak MQTT at this port and path"
            return Reachability.CLOSING, f"it closed the connection: {error}; {asked}?"
    return Reachability.NOTHING, f"{getattr(error, 'strerror', None) or error}; check broker.url and the network"


def all_failed(errors: Sequence[BrokerError]) -> BrokerError:
    """Return one error for a round in which no address worked."""
    if len(errors) == 1:
        return errors[0]
    message = " | ".join(map(str, errors))
    observations = [observation for error in errors for observation in error.observations]
    return BrokerUnreachableError(message, *observations) if observations else BrokerRefusedError(message)
