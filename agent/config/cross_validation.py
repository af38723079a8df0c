"""Checks of several keys together, and of the files that they name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.config.files import why_unreadable
from agent.config.secret import is_absent_credential, read_secret
from agent.config.urls import is_loopback, parse_broker, parse_listen
from agent.runtime.text import quote

Contradiction = tuple[tuple[str, ...], str]  # the paths of the keys, and the text of the mistake


def contradictions(
    values: Mapping[str, Any], wrong: set[str], needs_credential: bool = True
) -> Iterator[Contradiction]:
    """Yield the contradictions between keys, and the files that cannot be used.

    Args:
        values: the values of all keys, by path.
        wrong: paths of keys whose values are not allowed; what depends on them is left out.
        needs_credential: whether a `password_file` that is a service's credential must be readable, too.
    """
    for paths, text in _all_contradictions(values, wrong, needs_credential):
        if wrong.isdisjoint(paths):
            yield paths, text


def _all_contradictions(values: Mapping[str, Any], wrong: set[str], needs_credential: bool) -> Iterator[Contradiction]:
    base, cap = values["backoff.base"], values["backoff.cap"]
    if cap < base:
        yield ("backoff.cap", "backoff.base"), f"backoff.cap is {cap}, allowed is backoff.base ({base}) or more"
    for table in ("engine", "broker"):
        yield from _certificates(table, values)
        if f"{table}.url" not in wrong:
            yield from _unused_tls(table, values)
    yield from _credentials(values, needs_credential)
    if "web.listen" not in wrong:
        yield from _unprotected_page(values)


def _certificates(table: str, values: Mapping[str, Any]) -> Iterator[Contradiction]:
    cert, key = f"{table}.tls_cert", f"{table}.tls_key"
    for present, missing in ((cert, key), (key, cert)):
        if values[present] is not None and values[missing] is None:
            yield (present, missing), f"{present} is set without {missing}, allowed are both or neither"
    for path in (f"{table}.tls_ca", cert, key):
        if values[path] is not None and (reason := _unreadable(values[path])):
            yield (path,), f"{path} is {quote(values[path])}, which {reason}"


def _unused_tls(table: str, values: Mapping[str, Any]) -> Iterator[Contradiction]:
    if table == "engine":
        encrypted, remedy = values["engine.url"].startswith("tcp://"), "a tcp:// address"
    else:
        encrypted = any(parse_broker(url).tls for url in values["broker.url"])
        remedy = "an mqtts:// or wss:// address"
    for name in ("tls_ca", "tls_cert", "tls_key", "tls_insecure"):
        if not encrypted and values.get(f"{table}.{name}"):
            text = f"{table}.{name} is set, but {table}.url uses no TLS: use {remedy}, or remove {table}.{name}"
            yield (f"{table}.{name}", f"{table}.url"), text


def _credentials(values: Mapping[str, Any], needs_credential: bool) -> Iterator[Contradiction]:
    username, password, file = "broker.username", "broker.password", "broker.password_file"
    if values[password] is not None and values[file] is not None:
        yield (password, file), f"{password} and {file} are both set, allowed is one of them"
    is_optional = values[file] is not None and not needs_credential and is_absent_credential(values[file])
    if values[file] is not None and not is_optional and (reason := _unusable_password(values[file])):
        yield (file,), f"{file} is {quote(values[file])}, which {reason}"
    addresses = [parse_broker(url) for url in values["broker.url"]]
    in_url = {
        username: any(address.username is not None for address in addresses),
        password: any(address.password is not None for address in addresses),
    }
    for path, credential in ((username, username), (password, password), (file, password)):
        if in_url[credential] and values[path] is not None:
            kind = credential.removeprefix("broker.")
            yield (path, "broker.url"), f"{path} is set and so is the {kind} in broker.url, allowed is one of them"
        # MQTT 3.1.1 has no password without a user name (section 3.1.2.9).
        if path != username and values[path] is not None and values[username] is None and not in_url[username]:
            yield (path, username, "broker.url"), f"{path} is set without {username}, allowed are both or neither"
    if values[username] is None and any(address.password and address.username is None for address in addresses):
        yield ("broker.url", username), "broker.url has a password without a user name, allowed are both or neither"


def _unprotected_page(values: Mapping[str, Any]) -> Iterator[Contradiction]:
    listen, file, anonymous = "web.listen", "web.password_file", "web.anonymous"
    if values[file] is not None and values[anonymous]:
        yield (file, anonymous), f"{file} is set and {anonymous} is true, allowed is one of them"
    if values[file] is None and not values[anonymous] and not is_loopback(parse_listen(values[listen])[0]):
        allowed = f"set {file}, or {anonymous} = true if everybody there may see the page"
        text = f"{listen} is {quote(values[listen])}, which other machines may reach: {allowed}"
        yield (listen, file, anonymous), text


def _unreadable(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        return why_unreadable(error)
    return ""


def _unusable_password(path: str) -> str:
    try:
        read_secret(path)
    except OSError as error:
        return why_unreadable(error)
    except ValueError as error:
        return f"{error}, allowed is a file with the password alone"
    return ""
