"""Who may see the page: decided for each request, before anything else looks at it. Pure.

Four questions, in this order:

1. Is it for this server? A page of another site may point its own name at 127.0.0.1 (DNS rebinding); the browser then
   sends that name as the Host. A server on loopback without a password answers to the names of loopback only.
2. Does it only read? GET and HEAD are all there is.
3. Does the user know the password, if there is one? `/healthz` needs none, because it shows nothing of the containers.
4. Does it come from the page itself? Pages of other sites could use up MAX_VIEWERS. Browsers tell where a request comes
   from (https://www.w3.org/TR/fetch-metadata/). Links from other sites to the page are allowed.
"""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.config import Secret
from agent.config.urls import is_loopback, parse_listen

HEALTH_PATH = "/healthz"
METHODS = ("GET", "HEAD")
_CHALLENGE = 'Basic realm="usage-agent", charset="UTF-8"'  # RFC 7617, section 2.1


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that is refused.

    Attributes:
        status: of the answer.
        text: of the answer.
        headers: of the answer, besides those that every answer has.
        is_wrong_password: whether somebody has tried one.
    """

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    is_wrong_password: bool = False


class Access:
    """Decides which requests to a server are refused.

    Args:
        host: the host name or IP address on which the server listens.
        password: the password that requests must have; None if they need none.
    """

    def __init__(self, host: str, password: Secret | None) -> None:
        self._digest = None if password is None else _digest(password.reveal().encode())
        # With a password the name does not matter: a browser does not send the password to another name.
        self._loopback_only = password is None and is_loopback(host)

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return the answer to a request that is refused; None if the request is allowed.

        Args:
            method: such as GET.
            path: without the query.
            headers: by name in lower case.
        """
        if self._loopback_only and not _names_loopback(headers.get("host", "")):
            return Refusal(421, "This page is for 127.0.0.1 and localhost. For another name set web.password_file.")
        if method not in METHODS:
            return Refusal(405, "Only GET and HEAD are allowed.", {"Allow": ", ".join(METHODS)})
        if path == HEALTH_PATH:
            return None
        authorization = headers.get("authorization", "")
        if self._digest is not None and not self._knows_password(authorization):
            return Refusal(401, "The password is needed.", {"WWW-Authenticate": _CHALLENGE}, bool(authorization))
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return Refusal(403, "Only the page itself may ask for this.")
        return None

    def _knows_password(self, authorization: str) -> bool:
        """Compare in constant time, whatever the length of the password is. Any user name will do."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic" or self._digest is None:
            return False
        try:
            credentials = b64decode(encoded.strip(), validate=True)
        except ValueError:
            return False
        return hmac.compare_digest(_digest(credentials.partition(b":")[2]), self._digest)


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()


def _names_loopback(host: str) -> bool:
    """Return whether a Host header names loopback, with or without a port."""
    try:
        return is_loopback(parse_listen(host if host.rpartition("]")[2].count(":") else f"{host}:80")[0])
    except ValueError:
        return False
