"""Addresses of brokers and engines: parsed, checked, and shown without their credentials.

Every ValueError raised here says what is allowed, and never quotes the address: it may contain a password.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, unquote

from agent.config.secret import MASK, Secret
from agent.runtime.text import escape

EMBEDDED = "embedded"
_BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_WEBSOCKETS = ("ws", "wss")
_ALIASES = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts", "mqtt+ssl": "mqtts", "http": "ws", "https": "wss"}
_ENGINE_SCHEMES = ("unix", "tcp", "ssh")

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>\d{0,5}))?", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WITHOUT_CREDENTIALS = re.compile(r"([^:/#]*|\[[0-9A-Fa-f:.]*\])(:[0-9]*)?([/#][^:]*)?")
_NAME = re.compile(r"[\w.-]+")
_FORBIDDEN_IN_PATH = re.compile(r"[\x00-\x1f\x7f]")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Address:
    """Address of a broker.

    Attributes:
        scheme: mqtt, mqtts, ws, wss, unix or embedded. The embedded broker listens on this machine.
        host: host name or IP address without brackets; empty for unix.
        port: TCP port; 0 for unix.
        path: path of the socket for unix, of the URL for ws and wss.
        username: user name in the address; None if there is none.
        password: password in the address; None if there is none.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    username: str | None = None
    password: Secret | None = None

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("mqtts", "wss")

    def __str__(self) -> str:
        """Return the address without credentials, as `parse_broker` reads it."""
        if self.scheme == EMBEDDED:
            return EMBEDDED
        if self.scheme == "unix":
            return f"unix://{quote(self.path)}"
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}{self.path}"


def parse_broker(text: str) -> Address:
    """Return the address of a broker. Raises ValueError, which says what is allowed."""
    if text == EMBEDDED:
        return Address(EMBEDDED, "127.0.0.1", _BROKER_PORTS["mqtt"])
    scheme, userinfo, authority, rest = _split(text)
    if scheme not in (*_BROKER_PORTS, "unix"):
        allowed = f"allowed are mqtt://, mqtts://, ws://, wss:// and unix://, or the word {EMBEDDED}"
        raise ValueError(allowed + _suggest_scheme(text, scheme))
    username, password = _credentials(userinfo)
    if scheme == "unix":
        return Address(scheme, "", 0, _socket(authority, rest), username, password)
    host, port = _host_and_port(authority)
    if scheme in _WEBSOCKETS:
        path = "/mqtt" if rest in ("", "/") else rest
    elif rest in ("", "/"):
        path = ""
    else:
        raise ValueError(f"allowed is {scheme}://host:port with nothing after it")
    return Address(scheme, host, _BROKER_PORTS[scheme] if port is None else port, path, username, password)


def _suggest_scheme(text: str, scheme: str) -> str:
    """Return the "did you mean" for a broker's address whose scheme is missing or not allowed."""
    if scheme in _ALIASES:
        return f"; did you mean {_ALIASES[scheme]}://?"
    if get_close_matches(text[:20].lower(), [EMBEDDED]):
        return f"; did you mean {EMBEDDED}?"
    return "; did you mean to start with mqtt://?" if text and _HOST_AND_PORT.fullmatch(text) else ""


def parse_engine(text: str) -> str:
    """Return the address of an engine, checked and normalized; `tcp://` may still lack its port. Raises ValueError."""
    scheme, userinfo, authority, rest = _split(text)
    if scheme not in _ENGINE_SCHEMES:
        raise ValueError("allowed are unix://, tcp:// and ssh://")
    if scheme == "unix":
        if userinfo:
            raise ValueError("allowed is unix:///path/to/socket")
        return f"unix://{_socket(authority, rest)}"
    username, password = _credentials(userinfo)
    if password is not None or (username is not None and scheme == "tcp"):
        raise ValueError(
            "allowed is an address without a password: use a key (ssh://) or tls_cert and tls_key (tcp://)"
        )
    host, port = _host_and_port(authority)
    if scheme == "ssh" and rest not in ("", "/"):
        raise ValueError("allowed is ssh://user@host:port with nothing after it")
    user = "" if username is None else f"{quote(username)}@"
    return f"{scheme}://{user}{_bracketed(host)}{'' if port is None else f':{port}'}{rest.rstrip('/')}"


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of an address to listen on; port 0 is any free one. Raises ValueError."""
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or not match["host"] or not match["port"] or int(match["port"]) > 65535:
        raise ValueError("allowed is an address and a port, such as 127.0.0.1:8642 or [::1]:8642")
    return _host(match["host"]), int(match["port"])


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens on a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def masked(text: str) -> str:
    """Return a text that was meant as an address: on one line, and without anything that may be a credential."""
    scheme = match[0] if (match := _SCHEME.match(text)) else ""
    before, at, rest = text[len(scheme) :].rpartition("@")
    rest = rest.partition("?")[0]
    if not _WITHOUT_CREDENTIALS.fullmatch(rest):
        # For example "mqtt://user:password", where the host was forgotten.
        rest = MASK if at else f"{rest.partition(':')[0]}:{MASK}"
    return escape(f"{scheme}{MASK}@{rest}" if before else scheme + rest)


def _split(text: str) -> tuple[str, str, str, str]:
    """Return scheme, user information, host with port, and path (RFC 3986, section 3); empty texts if it is no URL.

    Raises ValueError.
    """
    if _FORBIDDEN.search(text):
        raise ValueError("allowed is an address without spaces and control characters")
    match = _URL.fullmatch(text)
    if match is None:
        return "", "", "", ""
    userinfo, _, authority = match["authority"].rpartition("@")
    if "@" in match["rest"] and ":" in authority and not userinfo:
        raise ValueError("allowed are / ? # in a password only as %2F %3F %23")
    if "?" in match["rest"] or "#" in match["rest"]:
        raise ValueError("allowed is an address without ? and #")
    return match["scheme"].lower(), userinfo, authority, match["rest"]


def _credentials(userinfo: str) -> tuple[str | None, Secret | None]:
    username, colon, password = userinfo.partition(":")
    try:
        username, password = unquote(username, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("allowed is UTF-8 in percent-encoded characters") from None
    if "\0" in username + password:
        raise ValueError("allowed is an address without %00")
    return username or None, Secret(password) if colon else None


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(authority)
    if match is None:
        raise ValueError("allowed is host:port with a port from 1 to 65535, and an IPv6 address in [brackets]")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError("allowed is a port from 1 to 65535")
    host = unquote(match["host"])
    if not host:
        raise ValueError("allowed is an address with a host")
    return _host(host), port


def _host(host: str) -> str:
    """Return a host name, or an IP address without brackets. Raises ValueError for what no resolver accepts."""
    try:
        if host.startswith("["):
            IPv6Address(host[1:-1])
            return host[1:-1]
        # A name that IDNA cannot encode would raise UnicodeError, which is no OSError, inside connect().
        if _NAME.fullmatch(host) and len(host.encode("idna")) <= 253:
            return host
    except ValueError:
        pass
    raise ValueError("allowed is a host name, an IPv4 address, or an IPv6 address in [brackets]")


def _socket(authority: str, path: str) -> str:
    socket = unquote(path)
    if authority or len(path) < 2 or _FORBIDDEN_IN_PATH.search(socket):
        raise ValueError("allowed is unix:///path/to/socket")
    return socket


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
