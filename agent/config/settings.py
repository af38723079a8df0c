"""Every key of the configuration with its type, range, default and description. This is its only definition.

`loader.py` fills these values from `config.toml` and the environment. A test compares the shipped `config.toml` with
them. Durations are seconds. A field without a description is no key: it is derived from other fields. Where the default
is None, or a factory has to determine it, an empty string in the configuration stands for the default.
"""

import socket
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from agent.config.secret import Secret
from agent.config.urls import EMBEDDED, Address, parse_broker

LOCAL_SOCKET = "unix:///var/run/docker.sock"

Text = Annotated[str, Meta(min_length=1, max_length=1024)]
LongText = Annotated[str, Meta(min_length=1, max_length=16383)]  # of 4 bytes each: MQTT carries up to 65535 bytes


class ConfigError(Exception):
    """The configuration cannot be used. Each line of the message is one mistake: its place, and what is allowed."""


class AgentSettings(Struct, frozen=True, kw_only=True):
    """The agent itself."""

    host: Annotated[Text, Meta(description="This host's name in topics (empty: the system's host name).")] = (
        msgspec.field(default_factory=socket.gethostname)
    )
    interval: Annotated[
        float,
        Meta(
            ge=0.5,
            le=3600,
            description="Seconds between two usages of a container (0.5 to 3600); "
            "the label usage-agent.interval overrides it.",
        ),
    ] = 10.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least severe messages that are logged: debug, info, warning or error."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "text", "json"],
        Meta(description="Format of the log: text, json, or auto (journal priorities under systemd, else text)."),
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
        Meta(description="Where readings come from: kernel, poll, stream, or auto (the cheapest one that works here)."),
    ] = "auto"
    timeout: Annotated[
        float,
        Meta(gt=0, le=3600, description="Seconds without an answer after which a call fails (above 0, up to 3600)."),
    ] = 10.0
    include: Annotated[
        tuple[Text, ...],
        Meta(description="Globs on container names; the label usage-agent.enable=true or false overrides both lists."),
    ] = ("*",)
    exclude: Annotated[
        tuple[Text, ...],
        Meta(description="Globs on the names of containers that are left out, even if they are included."),
    ] = ()


class BackoffSettings(Struct, frozen=True, kw_only=True):
    """Waits between attempts: min(base * factor^n, cap) before retry n (from 0), plus a random share of up to 10 %."""

    base: Annotated[
        float, Meta(gt=0, le=86400, description="Seconds before the first retry (above 0, up to 86400).")
    ] = 5.0
    factor: Annotated[
        float, Meta(ge=1, le=1000, description="Factor by which each further wait is longer (1 to 1000).")
    ] = 4.0
    cap: Annotated[
        float, Meta(gt=0, le=86400, description="Seconds of the longest wait (base or more, up to 86400).")
    ] = 120.0


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """The MQTT broker.

    Attributes:
        url: the addresses as text without credentials, so that they can be shown.
        addresses: the parsed addresses with their credentials.
    """

    url: Annotated[
        tuple[LongText, ...],
        Meta(
            description="mqtt://, mqtts://, ws://, wss:// or unix://, or a list, tried in turn; or embedded (an extra)."
        ),
    ] = ("mqtt://127.0.0.1:1883",)
    username: Annotated[LongText | None, Meta(description="User name for the broker (empty: none).")] = None
    password: Annotated[
        Secret | None, Meta(description="Password for the broker (empty: none); password_file is safer.")
    ] = None
    password_file: Annotated[
        Text | None,
        Meta(description="File with the password (a systemd credential, a Docker secret), read at each connect."),
    ] = None
    client_id: Annotated[LongText | None, Meta(description="MQTT client identifier (empty: usage-agent-<host>).")] = (
        None
    )
    protocol: Annotated[
        Literal["auto", "5", "3.1.1"],
        Meta(description='MQTT version: "5", "3.1.1", or "auto" (5, or 3.1.1 if the broker refuses 5).'),
    ] = "auto"
    keepalive: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="Seconds without a message after which a keep-alive packet is sent (1 to 65535).",
        ),
    ] = 30
    qos: Annotated[
        Literal[0, 1, 2],
        Meta(description="Quality of service (QoS) of usage messages (0, 1 or 2); status messages always have 1."),
    ] = 1
    tls_ca: Annotated[
        Text | None,
        Meta(description="For mqtts://, wss://: file with the certificates to trust (empty: the system's)."),
    ] = None
    tls_cert: Annotated[
        Text | None, Meta(description="For mqtts://, wss://: file with the agent's own certificate.")
    ] = None
    tls_key: Annotated[Text | None, Meta(description="For mqtts://, wss://: file with the key of tls_cert.")] = None
    tls_insecure: Annotated[bool, Meta(description="Accept any certificate without verification (true, false).")] = (
        False
    )
    addresses: tuple[Address, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether the broker is the embedded one, which the agent starts and stops."""
        return any(address.scheme == EMBEDDED for address in self.addresses)

    def __post_init__(self) -> None:
        """Parse `url`. Raises ValueError."""
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
            description="Usage messages that may wait for the broker, those in flight included (1 to 10000000).",
        ),
    ] = 1000
    on_full: Annotated[
        Literal["drop_newest", "drop_oldest"],
        Meta(description="Which message is dropped when the outbox is full: drop_newest or drop_oldest."),
    ] = "drop_newest"


class HomeAssistantSettings(Struct, frozen=True, kw_only=True):
    """Home Assistant."""

    enabled: Annotated[
        bool,
        Meta(description="Let its MQTT integration discover the host and each container as devices."),
    ] = False
    prefix: Annotated[Text, Meta(description="First level(s) of its discovery topics.")] = "homeassistant"


class ShutdownSettings(Struct, frozen=True, kw_only=True):
    """The end of the agent."""

    timeout: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds for the last messages to leave (0 to 3600).")
    ] = 5.0


class WebSettings(Struct, frozen=True, kw_only=True):
    """The web page of `usage-agent web`."""

    listen: Annotated[
        Text, Meta(description="Address and port of the page; without a password only 127.0.0.1, [::1] or localhost.")
    ] = "127.0.0.1:8642"
    password_file: Annotated[
        Text | None, Meta(description="File with the password of the page, for any user name (empty: no password).")
    ] = None
    anonymous: Annotated[
        bool, Meta(description="Let everybody who reaches another address than loopback see the page (true, false).")
    ] = False
    history: Annotated[
        float, Meta(ge=60, le=86400, description="Seconds of usages that are kept for the graphs (60 to 86400).")
    ] = 3600.0


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration, table by table. `Config()` has the defaults."""

    agent: AgentSettings = msgspec.field(default_factory=AgentSettings)
    engine: EngineSettings = EngineSettings()
    backoff: BackoffSettings = BackoffSettings()
    broker: BrokerSettings = BrokerSettings()
    topics: TopicsSettings = TopicsSettings()
    outbox: OutboxSettings = OutboxSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()
    web: WebSettings = WebSettings()


def default_client_id(host: str) -> str:
    """Return the MQTT client identifier that the agent of a host uses if none is configured."""
    return f"usage-agent-{host}"
