"""Where brokers and engines listen: addresses taken apart, checked, and shown without their credentials.

Every ValueError raised here says what is allowed instead, and never repeats what it was given.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv6Address
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
_PLAIN = re.compile(r"([^:/#]*|\[[0-9A-Fa-f:.]*\])(:[0-9]*)?([/#][^:]*)?")
_NAME = re.compile(r"[\w.-]+")
_UNFIT_PATH = re.compile(r"[\x00-\x1f\x7f]")
_UNFIT = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens, and who to be there.

    `host` has no brackets and is empty for `unix`, whose socket is `path`; `ws` and `wss` have a `path` too.
    `port` is 0 for `unix`. `embedded` is the address on which the agent's own broker listens.
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
        """Return the address without credentials; `parse_broker` understands it."""
        if self.scheme == EMBEDDED:
            return EMBEDDED
        if self.scheme == "unix":
            return f"unix://{quote(self.path)}"
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}{self.path}"


def parse_broker(text: str) -> Address:
    """Return the address of a broker; raises ValueError, which says what is allowed."""
    if text == EMBEDDED:
        return Address(EMBEDDED, "127.0.0.1", _BROKER_PORTS["mqtt"])
    scheme, userinfo, authority, rest = _split(text)
    if scheme not in (*_BROKER_PORTS, "unix"):
        allowed = f"allowed are mqtt://, mqtts://, ws://, wss:// and unix://, or the word {EMBEDDED}"
        raise ValueError(allowed + _meant(text, scheme))
    username, password = _credentials(userinfo)
    if scheme == "unix":
        return Address(scheme, "", 0, _socket(authority, rest), username, password)
    host, port = _host_and_port(authority)
    if scheme in _WEBSOCKETS:
        path = "/mqtt" if rest in ("", "/") else rest
    elif rest in ("", "/"):
        path = ""
    else:
        raise ValueError(f"allowed is {scheme}://host:port with nothing behind it")
    return Address(scheme, host, _BROKER_PORTS[scheme] if port is None else port, path, username, password)


def _meant(text: str, scheme: str) -> str:
    if scheme in _ALIASES:
        return f"; did you mean {_ALIASES[scheme]}://?"
    if get_close_matches(text[:20].lower(), [EMBEDDED]):
        return f"; did you mean {EMBEDDED}?"
    return "; did you mean mqtt:// before it?" if text and _HOST_AND_PORT.fullmatch(text) else ""


def parse_engine(text: str) -> str:
    """Return the address of an engine in full, but for the port of `tcp://`; raises ValueError like `parse_broker`."""
    scheme, userinfo, authority, rest = _split(text)
    if scheme not in _ENGINE_SCHEMES:
        raise ValueError("allowed are unix://, tcp:// and ssh://")
    if scheme == "unix":
        if userinfo:
            raise ValueError("allowed is unix:///path/of/the/socket")
        return f"unix://{_socket(authority, rest)}"
    username, password = _credentials(userinfo)
    if password is not None or (username is not None and scheme == "tcp"):
        raise ValueError("allowed is no password here: use a key (ssh://) or tls_cert and tls_key (tcp://)")
    host, port = _host_and_port(authority)
    if scheme == "ssh" and rest not in ("", "/"):
        raise ValueError("allowed is ssh://user@host:port with nothing behind it")
    user = "" if username is None else f"{quote(username)}@"
    return f"{scheme}://{user}{_bracketed(host)}{'' if port is None else f':{port}'}{rest.rstrip('/')}"


def masked(text: str) -> str:
    """Return an address, however broken, without anything that may be a credential, on one line."""
    scheme = match[0] if (match := _SCHEME.match(text)) else ""
    before, at, rest = text[len(scheme) :].rpartition("@")
    rest = rest.partition("?")[0]
    if not _PLAIN.fullmatch(rest):
        # "mqtt://user:password", the host forgotten, is one of many ways to get here.
        rest = MASK if at else f"{rest.partition(':')[0]}:{MASK}"
    return escape(f"{scheme}{MASK}@{rest}" if before else scheme + rest)


def _split(text: str) -> tuple[str, str, str, str]:
    """Return scheme, user information, authority without it, and the rest; raises ValueError."""
    if _UNFIT.search(text):
        raise ValueError("allowed are no spaces and no control characters")
    match = _URL.fullmatch(text)
    if match is None:
        return "", "", "", ""
    userinfo, _, authority = match["authority"].rpartition("@")
    if "@" in match["rest"] and ":" in authority and not userinfo:
        raise ValueError("allowed in a password are / ? # only as %2F %3F %23")
    if "?" in match["rest"] or "#" in match["rest"]:
        raise ValueError("allowed are no ? and no #")
    return match["scheme"].lower(), userinfo, authority, match["rest"]


def _credentials(userinfo: str) -> tuple[str | None, Secret | None]:
    username, colon, password = userinfo.partition(":")
    try:
        name, word = unquote(username, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("allowed behind % is UTF-8, percent-encoded") from None
    if "\0" in name + word:
        raise ValueError("allowed is no %00")
    return name or None, Secret(word) if colon else None


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(authority)
    if match is None:
        raise ValueError("allowed is host:port with a port from 1 to 65535, and an IPv6 address in [brackets]")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError("allowed is a port from 1 to 65535")
    host = unquote(match["host"])
    if not host:
        raise ValueError("allowed is an address that names a host")
    return _host(host), port


def _host(host: str) -> str:
    """Return a host name or an address without brackets; raises ValueError for what no resolver accepts."""
    try:
        if host.startswith("["):
            IPv6Address(host[1:-1])
            return host[1:-1]
        # A name that IDNA cannot encode raises UnicodeError, no OSError, deep inside connect(): refuse it here.
        if _NAME.fullmatch(host) and len(host.encode("idna")) <= 253:
            return host
    except ValueError:
        pass
    raise ValueError("allowed is a host name, an IPv4 address, or an IPv6 address in [brackets]")


def _socket(authority: str, path: str) -> str:
    socket = unquote(path)
    if authority or len(path) < 2 or _UNFIT_PATH.search(socket):
        raise ValueError("allowed is unix:///path/of/the/socket")
    return socket


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
