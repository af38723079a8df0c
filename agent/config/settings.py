"""Every setting: its type, range, default and one sentence. The one definition of the configuration.

`config.py` fills these values from `config.toml` and the environment; a test holds the shipped `config.toml` to them.
Durations are seconds. A field without a description is no key: it is derived from the
others. Where the default is None or has to be found out (a factory), an empty string stands for it.
"""

import socket
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from agent.config.secret import Secret, read_secret, warn_of_readers
from agent.config.urls import EMBEDDED, Address, parse_broker

LOCAL_SOCKET = "unix:///var/run/docker.sock"

Text = Annotated[str, Meta(min_length=1, max_length=1024)]
LongText = Annotated[str, Meta(min_length=1, max_length=16383)]  # of 4 bytes each: what MQTT can carry, 65535 bytes


class ConfigError(Exception):
    """The configuration cannot be used: one mistake on each line, each with its place and what is allowed."""


class AgentSettings(Struct, frozen=True, kw_only=True):
    """The agent itself."""

    host: Annotated[Text, Meta(description="This host's name in topics (empty: the system's host name).")] = (
        msgspec.field(default_factory=socket.gethostname)
    )
    interval: Annotated[
        float, Meta(ge=0.5, le=3600, description="Seconds between two usages of a container (0.5 to 3600).")
    ] = 10.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="What is logged: debug, info, warning or error, and everything worse."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "text", "json"],
        Meta(description="How it is logged: text, json, or auto: journal priorities under systemd, else text."),
    ] = "auto"


class EngineSettings(Struct, frozen=True, kw_only=True):
    """The Docker Engine."""

    url: Annotated[
        Text, Meta(description="unix://, tcp:// or ssh:// (empty: $DOCKER_HOST, else unix:///var/run/docker.sock).")
    ] = msgspec.field(default_factory=lambda: LOCAL_SOCKET)
    tls_ca: Annotated[
        Text | None, Meta(description="For tcp://: file with the certificates to trust (empty: no TLS).")
    ] = None
    tls_cert: Annotated[Text | None, Meta(description="For tcp://: file with the agent's own certificate.")] = None
    tls_key: Annotated[Text | None, Meta(description="For tcp://: file with the key of tls_cert.")] = None
    source: Annotated[
        Literal["auto", "stream", "poll", "kernel"],
        Meta(description="Where readings come from: kernel, poll, stream, or auto: the cheapest one that works here."),
    ] = "auto"
    timeout: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds without an answer that are an error (above 0, up to 3600).")
    ] = 10.0
    include: Annotated[
        tuple[Text, ...],
        Meta(description="Globs on container names; the label usage-agent.enable=true or false outranks both lists."),
    ] = ("*",)
    exclude: Annotated[
        tuple[Text, ...], Meta(description="Globs on the names of containers that are left out, even if included.")
    ] = ()


class BackoffSettings(Struct, frozen=True, kw_only=True):
    """Waits between attempts: min(base * factor^n, cap) before retry n (from 0), and at most 10 % more, by chance."""

    base: Annotated[
        float, Meta(gt=0, le=86400, description="Seconds before the first retry (above 0, up to 86400).")
    ] = 5.0
    factor: Annotated[
        float, Meta(ge=1, le=1000, description="What each further wait is multiplied by (1 to 1000).")
    ] = 4.0
    cap: Annotated[
        float, Meta(gt=0, le=86400, description="Seconds that no wait is longer than (base or more, up to 86400).")
    ] = 120.0


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """The MQTT broker.

    `addresses` are the parsed `url`, credentials included; `url` itself is kept without them, fit to be shown.
    """

    url: Annotated[
        tuple[LongText, ...],
        Meta(
            description="mqtt://, mqtts://, ws://, wss://, unix://, or a list, tried in turn; or embedded (an extra)."
        ),
    ] = ("mqtt://127.0.0.1:1883",)
    username: Annotated[LongText | None, Meta(description="Name to log in with (empty: none).")] = None
    password: Annotated[
        Secret | None, Meta(description="Password to log in with (empty: none); better kept in password_file.")
    ] = None
    password_file: Annotated[
        Text | None,
        Meta(description="File with the password, read at each connect: a systemd credential, a Docker secret."),
    ] = None
    client_id: Annotated[LongText | None, Meta(description="MQTT client identifier (empty: usage-agent-<host>).")] = (
        None
    )
    protocol: Annotated[
        Literal["auto", "5", "3.1.1"],
        Meta(description='MQTT version: "5", "3.1.1", or "auto": 5, and 3.1.1 where the broker refuses it.'),
    ] = "auto"
    keepalive: Annotated[int, Meta(ge=1, le=65535, description="Seconds between signs of life (1 to 65535).")] = 30
    qos: Annotated[
        Literal[0, 1, 2],
        Meta(description="Quality of service of usage messages (0, 1 or 2); status messages always have 1."),
    ] = 1
    tls_ca: Annotated[
        Text | None,
        Meta(description="For mqtts://, wss://: file with the certificates to trust (empty: the system's)."),
    ] = None
    tls_cert: Annotated[
        Text | None, Meta(description="For mqtts://, wss://: file with the agent's own certificate.")
    ] = None
    tls_key: Annotated[Text | None, Meta(description="For mqtts://, wss://: file with the key of tls_cert.")] = None
    tls_insecure: Annotated[
        bool, Meta(description="Whether any certificate is accepted, whoever it belongs to (true, false).")
    ] = False
    addresses: tuple[Address, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether the broker is one that the agent brings along."""
        return any(address.scheme == EMBEDDED for address in self.addresses)

    def __post_init__(self) -> None:
        """Parse `url`; raises ValueError."""
        if tuple(map(str, self.addresses)) != self.url:
            msgspec.structs.force_setattr(self, "addresses", tuple(map(parse_broker, self.url)))
            msgspec.structs.force_setattr(self, "url", tuple(map(str, self.addresses)))


class TopicsSettings(Struct, frozen=True, kw_only=True):
    """The topics."""

    base: Annotated[Text, Meta(description="First level(s) of every topic.")] = "containers"
    container: Annotated[
        Text, Meta(description="Level(s) of a container, from {name}, {id}, {short_id}, {project} and {service}.")
    ] = "{name}"
    forget_removed: Annotated[
        float,
        Meta(
            ge=0,
            le=315360000,
            description="Seconds after which a removed container's retained status is cleared (0: never).",
        ),
    ] = 600.0


class OutboxSettings(Struct, frozen=True, kw_only=True):
    """The outbox."""

    capacity: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Usage messages that may wait for the broker, in flight or not (1 to 10000000).",
        ),
    ] = 1000
    on_full: Annotated[
        Literal["drop_newest", "drop_oldest"],
        Meta(description="What gives way when it is full: drop_newest or drop_oldest."),
    ] = "drop_newest"


class ShutdownSettings(Struct, frozen=True, kw_only=True):
    """The ending."""

    timeout: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds for the last messages to leave (0 to 3600).")
    ] = 5.0


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration, table by table; `Config()` is the defaults."""

    agent: AgentSettings = msgspec.field(default_factory=AgentSettings)
    engine: EngineSettings = EngineSettings()
    backoff: BackoffSettings = BackoffSettings()
    broker: BrokerSettings = BrokerSettings()
    topics: TopicsSettings = TopicsSettings()
    outbox: OutboxSettings = OutboxSettings()
    shutdown: ShutdownSettings = ShutdownSettings()


def read_password(settings: BrokerSettings) -> Secret | None:
    """Return the password of the keys, read anew where it is a file's; None where there is none.

    An address may carry its own: one of them at most is set. Raises ConfigError when the file cannot be used.
    """
    if settings.password_file is None:
        return settings.password
    try:
        warn_of_readers(settings.password_file)
        return read_secret(settings.password_file)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except ValueError as error:
        reason = str(error)
    raise ConfigError(f"broker.password_file: {settings.password_file} {reason}")
