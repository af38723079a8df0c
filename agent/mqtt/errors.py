"""Errors of the connection to the broker, divided by what can be done about them, and how each is recognised.

    BrokerError
    ├── BrokerUnreachableError    try again, best when the broker is seen to be back
    │   └── BrokerSilentError     try another address
    ├── SubscriptionDeniedError   try again at once, without the subscription
    └── BrokerRefusedError        the configuration, the broker or a certificate has to be changed

    connect_error()      for what the system, TLS or paho raised while connecting
    unanswered_error()   for a CONNACK that did not come
    end_error()          for the end of a connection, from what was received before
    silent_error()       for messages that were not acknowledged
    combined_error()     for the errors of all addresses

Each message names the place and the remedy.
"""

import re
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from agent.config import Address
from agent.mqtt.callbacks import ClientCallbacks
from agent.mqtt.reachability import Observation, Reachability, UnansweredConnection
from agent.mqtt.reason_codes import (
    UNIQUE_CLIENT_ID_REMEDY,
    ReasonCode,
    connection_remedy,
    is_temporary,
    may_deny_subscription,
)

_CERTIFICATE_ALERT = re.compile(r"alert [a-z ]*(certificate|unknown ca|access denied|handshake failure)[a-z ]*\b")

# Texts of the system's errors if the network has lost a connection, not if the broker has ended it.
_NETWORK_LOST = re.compile(r"timed out|unreachable|no route", re.IGNORECASE)

# By OpenSSL's X509_V_ERR_… (X509_STORE_CTX_get_error(3)).
_CERTIFICATE_REMEDIES = {
    9: "it is not valid yet: is the clock of this machine right?",
    10: "let who runs the broker renew it; or is the clock of this machine wrong?",
    62: "set broker.url to the name it was made for",
    64: "set broker.url to the name it was made for",
}


class BrokerError(Exception):
    """The broker cannot be used. The message names the place and the remedy, and contains no secret.

    `observations` tells how reachable the broker was, at each address. It is empty if a broker that becomes more
    reachable would be no reason to try again.
    """

    def __init__(self, message: str, *observations: Observation) -> None:
        super().__init__(message)
        self.observations = observations

    def close_unanswered(self) -> None:
        """Close the unanswered connections in the observations: nobody waits for their answers any more."""
        for observation in self.observations:
            if observation.unanswered is not None:
                observation.unanswered.disconnect_quickly()


class BrokerUnreachableError(BrokerError):
    """The broker is away or frozen, or the connection was lost. Try again, best when it is seen to be back."""


class BrokerSilentError(BrokerUnreachableError):
    """The agent has left a broker that acknowledges nothing. No message is to blame."""


class SubscriptionDeniedError(BrokerError):
    """The broker has ended a new connection instead of answering its SUBSCRIBE. Probably it forbids the subscription.

    Seen with RabbitMQ's MQTT plugin, AWS IoT, and EMQX with `deny_action = disconnect`.
    """


class BrokerRefusedError(BrokerError):
    """The broker refuses the agent, or cannot be trusted: something has to be changed first.

    `code` is the MQTT 5 reason code; None if the broker sent none.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def is_taken_over(error: BrokerError) -> bool:
    """Return whether another client with the same client id has taken over the session (MQTT 5, section 3.1.4)."""
    return isinstance(error, BrokerRefusedError) and error.code == ReasonCode.SESSION_TAKEN_OVER


def end_error(address: Address, client_id: str, callbacks: ClientCallbacks, stable: bool) -> BrokerError:
    """Return the error for a connection that has ended or was not accepted, from what was received over it.

    Args:
        address: Address of the broker.
        client_id: Client id of the agent, for the remedy.
        callbacks: What was received.
        stable: Whether the connection had been open for a while.
    """
    if callbacks.connack is None:
        return _closed_error(address, callbacks.last_error)
    reason, _ = callbacks.connack
    if reason.is_failure:
        return _reason_code_error(address, client_id, "refuses the agent", reason)
    by_broker, reason = callbacks.disconnect or (False, None)
    if callbacks.awaits_suback and not stable and _may_deny(callbacks.last_error, reason):
        return SubscriptionDeniedError(f"{address} has ended the connection because of a subscription")
    if by_broker:
        return _reason_code_error(address, client_id, "has ended the connection", reason)
    timed_out = reason is not None and reason.value == ReasonCode.KEEP_ALIVE_TIMEOUT
    cause = "no sign of life from the broker" if timed_out else callbacks.last_error or "the broker closed it"
    if not stable and not timed_out:  # many brokers end the older of two connections without giving a reason
        cause += f"; if another client uses the same client id ({client_id}), {UNIQUE_CLIENT_ID_REMEDY}"
    return _lost_error(address, cause, stable)


def _may_deny(last_error: str, reason: Any) -> bool:
    """Return whether the subscription may be why the broker ended the connection: nothing names another cause."""
    return not _NETWORK_LOST.search(last_error) and (reason is None or may_deny_subscription(reason.value))


def _reason_code_error(address: Address, client_id: str, what: str, reason: Any) -> BrokerError:
    message = f"{address} {what}: {reason}; {connection_remedy(reason.value, client_id)}"
    if is_temporary(reason.value):
        return BrokerUnreachableError(message, Observation(address, Reachability.ANSWERING))
    return BrokerRefusedError(message, reason.value)


def _closed_error(address: Address, last_error: str) -> BrokerError:
    """Return the error for a connection that the broker closed before it had accepted it.

    The socket's own error is left out of the message. Whether it is a reset or an end of file is chance, and each
    change of the message would be logged again.
    """
    if address.tls and (alert := _CERTIFICATE_ALERT.search(last_error)):
        return _certificate_rejected_error(address, alert[0])
    question = "does it ask for a certificate (broker.tls_cert)?" if address.tls else "is that an MQTT broker?"
    return BrokerUnreachableError(
        f"{address} closed the connection instead of answering; {question} Or has it all the clients that it takes?",
        Observation(address, Reachability.CLOSING),
    )


def _certificate_rejected_error(address: Address, alert: str) -> BrokerRefusedError:
    remedy = "set broker.tls_cert and broker.tls_key to a certificate that it trusts"
    return BrokerRefusedError(f"{address} does not accept the agent's certificate, or wants one: {alert}; {remedy}")


def _lost_error(address: Address, cause: str, stable: bool) -> BrokerUnreachableError:
    """Return the error for an accepted connection that ended without a DISCONNECT.

    A stable connection may be made again as soon as anything listens. After a connection that was lost at once, a
    broker that answers is no improvement. Otherwise two agents with one client id would end each other's connections
    without a pause.
    """
    baseline = Reachability.NOTHING if stable else Reachability.ANSWERING
    return BrokerUnreachableError(f"lost the connection to {address}: {cause}", Observation(address, baseline))


def unanswered_error(address: Address, connection: UnansweredConnection) -> BrokerUnreachableError:
    """Return the error for a connection that was made, but whose CONNECT is not answered.

    A frozen broker is like that, and so is a server of another kind: a web server waits for the rest of a request.
    """
    return BrokerUnreachableError(
        f"{address} accepts connections but does not answer; is that an MQTT broker, and if so, is it frozen?",
        Observation(address, Reachability.SILENT, unanswered=connection),
    )


def silent_error(address: Address, seconds: float) -> BrokerSilentError:
    """Return the error for a connection that is left because nothing was acknowledged for so many seconds."""
    return BrokerSilentError(
        f"{address} acknowledges nothing for {seconds:g} s; is it frozen or overloaded, or has its cluster no quorum?",
        Observation(address, Reachability.ANSWERING),
    )


def connect_error(address: Address, error: Exception) -> BrokerError:
    """Return the error for what the system, TLS or the web server raised while connecting."""
    match error:
        case ssl.SSLCertVerificationError():
            remedy = _CERTIFICATE_REMEDIES.get(error.verify_code, "set broker.tls_ca to the authority that signed it")
            return BrokerRefusedError(
                f"{address} has a certificate that is not trusted: {error.verify_message}; {remedy}"
            )
        case ssl.SSLError() if alert := _CERTIFICATE_ALERT.search(str(error)):
            return _certificate_rejected_error(address, alert[0])
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            reason = (error.reason or str(error)).replace("_", " ").lower()
            return BrokerRefusedError(f"{address}: TLS failed: {reason}; does the broker speak TLS at this port?")
        case PermissionError():
            return BrokerRefusedError(f"{address}: permission denied; let the agent's user write to this socket")
        case UnicodeError():
            return BrokerRefusedError(f"{address}: this host name cannot be looked up; check broker.url")
    reachability, text = _classify(address, error)
    return BrokerUnreachableError(f"{address}: {text}", Observation(address, reachability))


def _classify(address: Address, error: Exception) -> tuple[Reachability, str]:
    """Return how reachable the broker is after a failed connect, and the text with the remedy."""
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
            question = "does it speak TLS at this port" if address.tls else "does it speak MQTT at this port and path"
            return Reachability.CLOSING, f"it closed the connection: {error}; {question}?"
    return Reachability.NOTHING, f"{getattr(error, 'strerror', None) or error}; check broker.url and the network"


def combined_error(errors: Sequence[BrokerError]) -> BrokerError:
    """Return one error for an attempt in which every address has failed."""
    if len(errors) == 1:
        return errors[0]
    message = " | ".join(map(str, errors))
    codes = {error.code if isinstance(error, BrokerRefusedError) else None for error in errors}
    observations = [observation for error in errors for observation in error.observations]
    if observations:
        return BrokerUnreachableError(message, *observations)
    return BrokerRefusedError(message, codes.pop() if len(codes) == 1 else None)
