"""Loads the configuration from `config.toml` and the environment, or reports every mistake in it at once.

    config.toml ──► read() ───────┐
    environment ──► from_text() ──┼──► convert() ──► contradictions() ──► _build() ──► Config, or ConfigError
    DOCKER_HOST ──────────────────┘

    fields.from_text                        text of an environment variable ──► TOML value or list
    conversion.convert                      TOML value ──► value of the key's type; called by `_Loading.add`
    cross_validation.contradictions         mistakes that concern several keys, or the files that they name
    settings.BrokerSettings.__post_init__   url ──► addresses, by urls.parse_broker; runs in `_build`

`fields.py` lists the keys that `settings.py` defines. Only the configuration file and the files named in it are opened.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.config.conversion import convert, describe_type
from agent.config.cross_validation import contradictions
from agent.config.fields import KEYS, PREFIX, WrongValueError, did_you_mean, from_text
from agent.config.files import why_unreadable
from agent.config.settings import Config, ConfigError, default_client_id
from agent.runtime.text import escape, quote, topic_level

DEFAULT_PATHS = (Path("config.toml"), Path("/etc/usage-agent/config.toml"))
MAX_FILE_BYTES = 1 << 20  # a device named by mistake must not fill the memory

TABLES: Mapping[str, type[Any]] = {field.name: field.type for field in msgspec.structs.fields(Config)}
VARIABLES: Mapping[str, str] = {key.variable: path for path, key in KEYS.items()}

# Variables, as NAME=value, that are no mistakes of the user: Docker's links and Kubernetes set them for services whose
# names begin with "usage-agent". A name that ends in PORT is theirs only if the value is a URL: with 1883 as its value
# it is a key that the user has misspelt.
_FOREIGN = re.compile(
    PREFIX + r"(?:(?:NAME|ENV_.*?)=|(?:[A-Z0-9]+_+)*(?:SERVICE_HOST=|SERVICE_PORT(?:_[A-Z0-9_]+)?=|"
    r"PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?=|=(?:tcp|udp|sctp)://))).*",
    re.DOTALL,
)


class _Loading:
    """What was loaded so far.

    Attributes:
        values: values by key path.
        places: where a key is set, by key path: the file or a variable.
        wrong: paths of keys whose values are not allowed.
        mistakes: lines of the error.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        self.wrong: set[str] = set()
        self.mistakes: list[str] = []

    def add(self, path: str, raw: object, place: str) -> None:
        """Convert and add one value, or its mistakes.

        A string from the key's own variable is parsed (`from_text`); strings from the file or DOCKER_HOST are used as
        they are.
        """
        key = KEYS[path]
        self.places[path] = place
        try:
            value = from_text(key, raw) if place == key.variable and isinstance(raw, str) else raw
            if not (key.optional and value == ""):
                self.values[path] = convert(key, value)
        except WrongValueError as wrong:
            self.wrong.add(path)
            self.mistakes += [f"{place}: {mistake}" for mistake in wrong.args]


def load(path: Path | None, environment: Mapping[str, str], needs_credential: bool = True) -> Config:
    """Return the configuration. The environment overrides the file, and the file the defaults.

    Args:
        path: the file; None for the first of `DEFAULT_PATHS` that exists, if any.
        environment: the environment variables.
        needs_credential: whether an unreadable systemd credential is a mistake. It is none for commands that a user
            runs beside the service.

    Raises:
        ConfigError: there are mistakes; each is a line of the message.
    """
    environment = _without_empty(environment)
    loading = _Loading()
    file = find(DEFAULT_PATHS) if path is None else path
    try:
        document = {} if file is None else read(file)
    except ConfigError as error:
        document, loading.mistakes = None, [str(error)]
    _add_file(loading, document or {}, escape(str(file)), environment)
    _add_environment(loading, environment)
    _add_docker(loading, environment)
    values = _defaults() | loading.values
    if document is not None:  # without the file only a part of the keys is known
        for paths, text in contradictions(values, loading.wrong, needs_credential):
            place = next((loading.places[path] for path in paths if path in loading.places), "defaults")
            loading.mistakes.append(f"{place}: {text}")
    if loading.mistakes:
        raise ConfigError("\n".join(loading.mistakes))
    return _build(values)


def _without_empty(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out the agent's variables that are empty: `-e NAME=` and `NAME=${UNSET}` mean that nothing is set."""
    return {name: text for name, text in environment.items() if name not in VARIABLES or text.strip("\ufeff \t\r\n")}


def find(paths: Iterable[Path]) -> Path | None:
    """Return the first path that exists, even if it cannot be read; None if none exists."""
    for path in paths:
        try:
            path.lstat()
        except OSError:
            continue
        return path
    return None


def read(path: Path) -> dict[str, Any]:
    """Return the TOML document in a file.

    Raises:
        ConfigError: the file cannot be used; one line with the file, line and column in it, and the reason.
    """
    place = escape(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ConfigError(f"{place}: {why_unreadable(error)}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{place}: is larger than {MAX_FILE_BYTES} bytes, allowed is a TOML file with the keys of the configuration"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ConfigError(
            f"{place}: line {line}, column {column}: is not valid UTF-8, allowed is text in UTF-8"
        ) from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{place}: is nested too deeply, allowed are tables of keys") from None
    except ValueError as error:
        raise ConfigError(f"{place}: {_syntax(str(error), text)}") from None


def _syntax(message: str, text: str) -> str:
    """Return tomllib's message with line and column in front. It quotes one character or a key, never a value."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if match is None:  # an integer of thousands of digits, which Python refuses without line and column
        return "is not TOML: a value cannot be read"
    lines = text.split("\n")
    line, column = (match[2], match[3]) if match[2] else (len(lines), len(lines[-1]) + 1)
    return f"line {line}, column {column}: is not TOML: {escape(match[1])}"


def _add_file(loading: _Loading, document: Mapping[str, Any], place: str, environment: Mapping[str, str]) -> None:
    for table, content in document.items():
        if table not in TABLES:
            allowed = f"allowed are the tables {', '.join(TABLES)}{_suggest_key(table, TABLES, '')}"
            loading.mistakes.append(f"{place}: {_quote_key(table)} is unknown, {allowed}")
        elif not isinstance(content, dict):
            loading.mistakes.append(f"{place}: {table} is {describe_type(content)}, allowed is a table: [{table}]")
        else:
            for name, raw in content.items():
                if f"{table}.{name}" not in KEYS:
                    loading.mistakes.append(f"{place}: {_unknown(table, name)}")
                elif KEYS[f"{table}.{name}"].variable not in environment:
                    loading.add(f"{table}.{name}", raw, place)


def _unknown(table: str, name: str) -> str:
    names = [key.name for key in KEYS.values() if key.table == table]
    meant = _suggest_key(name, names, f"{table}.")
    return f"{table}.{_quote_key(name)} is unknown, allowed are {', '.join(names)}{meant}"


def _suggest_key(name: str, siblings: Iterable[str], prefix: str) -> str:
    """Return the "did you mean" for an unknown table or key: a similar sibling, else the same name in another table."""
    elsewhere = [path for path, key in KEYS.items() if key.name == name]
    return did_you_mean(name, siblings, prefix) or (f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else "")


def _quote_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quote(name)


def _add_environment(loading: _Loading, environment: Mapping[str, str]) -> None:
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        if variable in VARIABLES:
            loading.add(VARIABLES[variable], environment[variable], variable)
        elif not _FOREIGN.fullmatch(f"{variable}={environment[variable]}"):
            names = [name.removeprefix(PREFIX) for name in VARIABLES]
            meant = did_you_mean(variable.removeprefix(PREFIX), names, PREFIX)
            loading.mistakes.append(f"{escape(variable)}: is unknown, allowed is {PREFIX}<TABLE>__<KEY>{meant}")


def _add_docker(loading: _Loading, environment: Mapping[str, str]) -> None:
    """Add the engine's address and certificates from the variables that the docker command uses.

    See https://docs.docker.com/reference/cli/docker/#environment-variables.
    """
    host = environment.get("DOCKER_HOST", "")
    if host and "engine.url" not in loading.values and "engine.url" not in loading.wrong:
        loading.add("engine.url", host, "DOCKER_HOST")
        if environment.get("DOCKER_TLS_VERIFY") and host.startswith("tcp://"):
            for path, file in _docker_certificates(environment):
                if path not in loading.places:
                    loading.add(path, str(file), "DOCKER_TLS_VERIFY")
    url = loading.values.get("engine.url", "")
    if re.fullmatch(r"tcp://(\[[^]]*\]|[^:/]*)", url):  # the ports that IANA has assigned; docker-py needs one
        tls = any(loading.values.get(f"engine.{name}") for name in ("tls_ca", "tls_cert"))
        loading.values["engine.url"] = f"{url}:{2376 if tls else 2375}"


def _docker_certificates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    folder = Path(environment.get("DOCKER_CERT_PATH") or Path(environment.get("HOME", "/")) / ".docker")
    yield "engine.tls_ca", folder / "ca.pem"
    for path, file in (("engine.tls_cert", folder / "cert.pem"), ("engine.tls_key", folder / "key.pem")):
        if file.exists():  # an engine need not ask its clients for a certificate
            yield path, file


def _defaults() -> dict[str, Any]:
    config = Config()
    return {path: getattr(getattr(config, key.table), key.name) for path, key in KEYS.items()}


def _build(values: dict[str, Any]) -> Config:
    values["agent.host"] = topic_level(values["agent.host"])  # one name everywhere, in topics and in messages
    if values["broker.client_id"] is None:
        values["broker.client_id"] = default_client_id(values["agent.host"])
    tables = {
        table: kind(**{key.name: values[path] for path, key in KEYS.items() if key.table == table})
        for table, kind in TABLES.items()
    }
    return Config(**tables)
