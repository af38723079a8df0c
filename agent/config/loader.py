"""Loading the configuration: `config.toml` and the environment → frozen settings, or every mistake at once.

The one typed definition is in `settings.py`; here values find their keys, in `keys.py` and `values.py` they get their
types, and `contradictions.py` looks at them together. Nothing is touched but the files that the configuration names.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.config.conversion import convert, sort
from agent.config.cross_validation import contradictions
from agent.config.fields import KEYS, PREFIX, WrongValueError, did_you_mean, from_text
from agent.config.settings import (
    Config,
    ConfigError,
)
from agent.runtime.text import escape, quote

DEFAULT_PATHS = (Path("config.toml"), Path("/etc/usage-agent/config.toml"))
LARGEST = 1 << 20  # bytes; a device given by mistake must not fill the memory

TABLES: Mapping[str, type[Any]] = {field.name: field.type for field in msgspec.structs.fields(Config)}
VARIABLES: Mapping[str, str] = {key.variable: path for path, key in KEYS.items()}

# What Docker's links and Kubernetes put into the environment of a container whose neighbour is called "usage-agent".
_FOREIGN = re.compile(PREFIX + r"(NAME|ENV_.*|SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP)(_[A-Z]+)?)?)")


class _Found:
    """What was found so far: values and places by key path, and the mistakes."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        self.wrong: set[str] = set()
        self.mistakes: list[str] = []

    def take(self, path: str, raw: object, place: str) -> None:
        """Convert one value, or note what is wrong with it; text from a key's own variable is read as TOML first."""
        key = KEYS[path]
        self.places[path] = place
        try:
            value = from_text(key, raw) if place == key.variable and isinstance(raw, str) else raw
            if not (key.optional and value == ""):
                self.values[path] = convert(key, value)
        except WrongValueError as wrong:
            self.wrong.add(path)
            self.mistakes += [f"{place}: {mistake}" for mistake in wrong.args]


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Return the configuration: the environment before the file, the file before the defaults.

    Without `path`, the first of `DEFAULT_PATHS` that exists is read, or none.
    Raises ConfigError whose text is every mistake, a line each.
    """
    found = _Found()
    file = find(DEFAULT_PATHS) if path is None else path
    try:
        document = {} if file is None else read(file)
    except ConfigError as error:
        document, found.mistakes = None, [str(error)]
    _take_file(found, document or {}, escape(str(file)), environment)
    _take_environment(found, environment)
    _take_docker(found, environment)
    values = _defaults() | found.values
    if document is not None:  # else half of what belongs together is not known
        for paths, text in contradictions(values, found.wrong):
            place = next((found.places[path] for path in paths if path in found.places), "defaults")
            found.mistakes.append(f"{place}: {text}")
    if found.mistakes:
        raise ConfigError("\n".join(found.mistakes))
    return _build(values)


def find(paths: Iterable[Path]) -> Path | None:
    """Return the first path at which there is something, even if it cannot be read."""
    for path in paths:
        try:
            path.lstat()
        except OSError:
            continue
        return path
    return None


def read(path: Path) -> dict[str, Any]:
    """Return the TOML document in a file; raises ConfigError: one line with file, place in it, and what is wrong."""
    place = escape(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{place}: cannot be read ({reason}), allowed is a readable file in TOML") from None
    if len(content) > LARGEST:
        raise ConfigError(f"{place}: is longer than {LARGEST} bytes, allowed is a configuration in TOML")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ConfigError(f"{place}: line {line}, column {column}: is not UTF-8, allowed is text in UTF-8") from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{place}: is nested too deep, allowed are tables of keys") from None
    except ValueError as error:
        raise ConfigError(f"{place}: {_syntax(str(error), text)}") from None


def _syntax(message: str, text: str) -> str:
    """Return tomllib's message with the place before it; it quotes at most one character or the name of a key."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if match is None:  # an integer of thousands of digits: Python's own refusal, without a place
        return "is not TOML: a value cannot be read"
    lines = text.split("\n")
    line, column = (match[2], match[3]) if match[2] else (len(lines), len(lines[-1]) + 1)
    return f"line {line}, column {column}: is not TOML: {escape(match[1])}"


def _take_file(found: _Found, document: Mapping[str, Any], place: str, environment: Mapping[str, str]) -> None:
    for table, content in document.items():
        if table not in TABLES:
            tables = f"allowed are the tables {', '.join(TABLES)}"
            found.mistakes.append(f"{place}: {_bare(table)} is unknown, {tables}{_meant(table, TABLES, '')}")
        elif not isinstance(content, dict):
            found.mistakes.append(f"{place}: {table} is {sort(content)}, allowed is a table: [{table}]")
        else:
            for name, raw in content.items():
                if f"{table}.{name}" not in KEYS:
                    found.mistakes.append(f"{place}: {_unknown(table, name)}")
                elif KEYS[f"{table}.{name}"].variable not in environment:
                    found.take(f"{table}.{name}", raw, place)


def _unknown(table: str, name: str) -> str:
    names = [key.name for key in KEYS.values() if key.table == table]
    return f"{table}.{_bare(name)} is unknown, allowed are {', '.join(names)}{_meant(name, names, f'{table}.')}"


def _meant(name: str, siblings: Iterable[str], prefix: str) -> str:
    """Return the did-you-mean of an unknown name: one beside it, else the same name elsewhere."""
    elsewhere = [path for path, key in KEYS.items() if key.name == name]
    return did_you_mean(name, siblings, prefix) or (f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else "")


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quote(name)


def _take_environment(found: _Found, environment: Mapping[str, str]) -> None:
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        if variable in VARIABLES:
            found.take(VARIABLES[variable], environment[variable], variable)
        elif not _FOREIGN.fullmatch(variable):
            names = [name.removeprefix(PREFIX) for name in VARIABLES]
            meant = did_you_mean(variable.removeprefix(PREFIX), names, PREFIX)
            found.mistakes.append(f"{escape(variable)}: is unknown, allowed is {PREFIX}<TABLE>__<KEY>{meant}")


def _take_docker(found: _Found, environment: Mapping[str, str]) -> None:
    """Take the engine's address, and its certificates, from where the docker command takes them."""
    host = environment.get("DOCKER_HOST", "")
    if host and "engine.url" not in found.values and "engine.url" not in found.wrong:
        found.take("engine.url", host, "DOCKER_HOST")
        if environment.get("DOCKER_TLS_VERIFY") and host.startswith("tcp://"):
            for path, file in _docker_certificates(environment):
                if path not in found.places:
                    found.take(path, str(file), "DOCKER_TLS_VERIFY")
    url = found.values.get("engine.url", "")
    if re.fullmatch(r"tcp://(\[[^]]*\]|[^:/]*)", url):  # IANA's ports; docker-py wants one
        tls = any(found.values.get(f"engine.{name}") for name in ("tls_ca", "tls_cert"))
        found.values["engine.url"] = f"{url}:{2376 if tls else 2375}"


def _docker_certificates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    folder = Path(environment.get("DOCKER_CERT_PATH") or Path(environment.get("HOME", "/")) / ".docker")
    yield "engine.tls_ca", folder / "ca.pem"
    for path, file in (("engine.tls_cert", folder / "cert.pem"), ("engine.tls_key", folder / "key.pem")):
        if file.exists():  # an engine may want no certificate of its clients
            yield path, file


def _defaults() -> dict[str, Any]:
    config = Config()
    return {path: getattr(getattr(config, key.table), key.name) for path, key in KEYS.items()}


def _build(values: dict[str, Any]) -> Config:
    if values["broker.client_id"] is None:
        values["broker.client_id"] = f"usage-agent-{values['agent.host']}"
    tables = {
        table: kind(**{key.name: values[path] for path, key in KEYS.items() if key.table == table})
        for table, kind in TABLES.items()
    }
    return Config(**tables)
