"""What the agent needs around it: an engine, a container and a broker, each started where there is none."""

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.config import Address, BrokerSettings, Config
from agent.config.urls import parse_broker
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError
from agent.mqtt.embedded import LISTEN_HOST, EmbeddedBroker, EmbeddedBrokerError
from support.daemons import dockerd
from support.daemons.docker_cli import DockerCli
from support.daemons.dockerd import PrivateEngine

SAMPLE = "usage-agent-sample"
SAMPLE_COMMAND = "while :; do dd if=/dev/zero of=/dev/null bs=1M count=2000 2>/dev/null; sleep 0.5; done"
FIRST_INTERVAL = 2  # seconds: the default of 10 is long for somebody who waits at a screen
CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"  # MQTT 3.1.1, a new session without a name


def say(text: str) -> None:
    """Tell people what is going on."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def missing(config: Config) -> list[str]:
    """Return the commands that a first look needs here, each with Debian's package."""
    running = _running_containers(config)
    engine = [] if running is not None else ["dockerd:docker.io"]
    sample = [] if running else ["docker:docker.io", "busybox:busybox-static"]
    return engine + sample


@contextlib.contextmanager
def started(config: Config, with_broker: bool) -> Iterator[dict[str, str]]:
    """Start what is missing, and end it afterwards. Yields the settings of the agent that follow, as variables."""
    settings = {}
    with contextlib.ExitStack() as stack:
        running = _running_containers(config)
        engine: DockerCli = _LocalEngine(config.engine.url)
        if running is None:
            engine = private = stack.enter_context(_private_engine())
            settings["USAGE_AGENT_ENGINE__URL"] = private.url
        if not running:
            stack.enter_context(_sample(engine))
        if config.agent.interval == type(config.agent)().interval:
            say(f"a usage every {FIRST_INTERVAL} seconds; by itself the agent takes {config.agent.interval:g}")
            settings["USAGE_AGENT_AGENT__INTERVAL"] = str(FIRST_INTERVAL)
        if with_broker and _needs_broker(config.broker):
            address = stack.enter_context(_embedded_broker())
            settings |= {"USAGE_AGENT_BROKER__URL": str(address), "USAGE_AGENT_BROKER__PROTOCOL": "3.1.1"}
        yield settings


def _running_containers(config: Config) -> int | None:
    """Return how many containers run on the configured engine; None if there is no engine."""
    engine = EngineClient(config.engine)
    try:
        engine.connect()
        return len([row for row in engine.list_containers() if row.get("State") == "running"])
    except EngineError:
        return None


def _needs_broker(settings: BrokerSettings) -> bool:
    """Return whether a broker has to be started: it is asked for, or none is configured and the usual one is away."""
    is_default = settings.url == BrokerSettings().url
    return settings.embedded or (is_default and not _broker_answers(settings.addresses[0]))


def _broker_answers(address: Address) -> bool:
    """Say whether somebody speaks MQTT there, be it only to refuse us."""
    try:
        with socket.create_connection((address.host, address.port), timeout=2) as connection:
            connection.sendall(CONNECT)
            return connection.recv(1) == b"\x20"
    except OSError:
        return False


@contextlib.contextmanager
def _private_engine() -> Iterator[PrivateEngine]:
    """Give an engine in a directory of its own, which ends with us."""
    if reason := dockerd.missing():
        raise SystemExit(f"error: no engine answers, and none can be started here: {reason}")
    say("no engine answers: starting one of our own")
    with tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as directory:
        engine = PrivateEngine(Path(directory) / "engine")
        try:
            engine.start()
            yield engine
        finally:
            say("ending our engine")
            engine.close()


class _LocalEngine(DockerCli):
    """The engine that was here already."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def environment(self) -> Mapping[str, str]:
        """Ours, with the engine's address."""
        return os.environ | {"DOCKER_HOST": self._url}


@contextlib.contextmanager
def _sample(engine: DockerCli) -> Iterator[None]:
    """Run a container that uses some CPU, for as long as we look."""
    say(f"no container runs: starting {SAMPLE}")
    with contextlib.suppress(AssertionError):  # there is none, but after a crash of ours
        engine.remove(SAMPLE)
    engine.import_image(SAMPLE)
    try:
        engine.run("sh", "-c", SAMPLE_COMMAND, name=SAMPLE, image=SAMPLE)
        yield
    finally:
        engine.remove(SAMPLE)
        engine.docker("rmi", "--force", SAMPLE)


@contextlib.contextmanager
def _embedded_broker() -> Iterator[Address]:
    """Start the broker that the agent can bring along. Not by the agent: we want to subscribe before it publishes."""
    say('no broker answers: starting the one that the agent can bring along (broker.url = "embedded")')
    try:
        with EmbeddedBroker() as broker:
            yield parse_broker(f"mqtt://{LISTEN_HOST}:{broker.port}")
    except EmbeddedBrokerError as error:
        raise SystemExit(f"error: {error}") from error
