"""A first look: the agent, with an engine, a broker and a container where there are none, its messages on the screen.

Everything that is started here is ended here. `--missing` only says which commands must be installed for it.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.config import Address, BrokerSettings, Config, ConfigError, load, read_password
from agent.config.urls import parse_broker
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError
from agent.mqtt import tls
from agent.mqtt.embedded import LISTEN_HOST, EmbeddedBroker, EmbeddedBrokerError
from agent.runtime.text import topic_level

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.daemons import dockerd
from support.daemons.docker_cli import DockerCli
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import end_with_parent

SAMPLE = "usage-agent-sample"
SAMPLE_COMMAND = "while :; do dd if=/dev/zero of=/dev/null bs=1M count=2000 2>/dev/null; sleep 0.5; done"
SUBSCRIBE_SECONDS = 10  # for the broker to grant our subscription; then the agent is started all the same
FIRST_INTERVAL = 2  # seconds: the default of 10 is long for somebody who waits at a screen
CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"  # MQTT 3.1.1, a new session without a name


def say(text: str) -> None:
    """Tell people what is going on."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def running_containers(config: Config) -> int | None:
    """Return how many containers run on the configured engine; None if there is no engine."""
    engine = EngineClient(config.engine)
    try:
        engine.connect()
        return len([row for row in engine.list_containers() if row.get("State") == "running"])
    except EngineError:
        return None


def broker_answers(address: Address) -> bool:
    """Say whether somebody speaks MQTT there, be it only to refuse us."""
    try:
        with socket.create_connection((address.host, address.port), timeout=2) as connection:
            connection.sendall(CONNECT)
            return connection.recv(1) == b"\x20"
    except OSError:
        return False


def missing(config: Config) -> list[str]:
    """Return the commands that a first look needs here, each with Debian's package."""
    running = running_containers(config)
    engine = [] if running is not None else ["dockerd:docker.io"]
    sample = [] if running else ["docker:docker.io", "busybox:busybox-static"]
    return engine + sample


@contextlib.contextmanager
def private_engine() -> Iterator[PrivateEngine]:
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


class LocalEngine(DockerCli):
    """The engine that was here already."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def environment(self) -> Mapping[str, str]:
        """Ours, with the engine's address."""
        return os.environ | {"DOCKER_HOST": self._url}


@contextlib.contextmanager
def sample(engine: DockerCli) -> Iterator[None]:
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
def embedded_broker() -> Iterator[Address]:
    """Start the broker that the agent can bring along. Not by the agent: we want to subscribe before it publishes."""
    say('no broker answers: starting the one that the agent can bring along (broker.url = "embedded")')
    try:
        with EmbeddedBroker() as broker:
            yield parse_broker(f"mqtt://{LISTEN_HOST}:{broker.port}")
    except EmbeddedBrokerError as error:
        raise SystemExit(f"error: {error}") from error


class Screen:
    """Shows every message under a topic, a line each; waits for the broker to appear.

    Attributes:
        subscribed: Set when the broker has granted the subscription: what is published from then on is shown.
        last_seen: Set when the agent has published that it ends.
    """

    def __init__(self, settings: BrokerSettings, address: Address, topic: str) -> None:
        self.subscribed = threading.Event()
        self.last_seen = threading.Event()
        self._width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self._topic = topic
        self._client = self._make_client(settings, address)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#")
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = self._show
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async(address.path if address.scheme == "unix" else address.host, address.port)
        self._client.loop_start()

    def close(self) -> None:
        """Stop showing. What the agent says at its end may still be on its way: wait for it a little."""
        self.last_seen.wait(1)
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self, settings: BrokerSettings, address: Address) -> mqtt.Client:
        kinds = {"ws": "websockets", "wss": "websockets", "unix": "unix"}
        client = mqtt.Client(CallbackAPIVersion.VERSION2, transport=kinds.get(address.scheme, "tcp"))  # type: ignore[arg-type]
        if client.transport == "websockets":
            client.ws_set_options(path=address.path)
        if address.tls:
            client.tls_set_context(tls.create_context(settings))
        password = address.password or read_password(settings)
        if username := address.username or settings.username:
            client.username_pw_set(username, password.reveal() if password else None)
        return client

    def _show(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        line = f"{message.topic} {message.payload.decode(errors='replace')}"
        try:
            print(line if self._width is None else line[: self._width], flush=True)
        except BrokenPipeError:
            os.kill(os.getpid(), signal.SIGTERM)  # nobody looks any more
        ended = message.topic == f"{self._topic}/status" and b'"stopped"' in message.payload
        if ended and not message.retain:  # a retained one is of an agent before
            self.last_seen.set()


def look(config: Config, arguments: Sequence[str]) -> int:
    """Start what is missing, run the agent until it ends, end what was started; the agent's exit code."""
    settings = {}
    with contextlib.ExitStack() as stack:
        running = running_containers(config)
        engine: DockerCli = LocalEngine(config.engine.url)
        if running is None:
            engine = private = stack.enter_context(private_engine())
            settings["USAGE_AGENT_ENGINE__URL"] = private.url
        if not running:
            stack.enter_context(sample(engine))
        if config.agent.interval == type(config.agent)().interval:
            say(f"a usage every {FIRST_INTERVAL} seconds; by itself the agent takes {config.agent.interval:g}")
            settings["USAGE_AGENT_AGENT__INTERVAL"] = str(FIRST_INTERVAL)
        if "--dry-run" not in arguments:
            address = config.broker.addresses[0]
            is_default = config.broker.url == BrokerSettings().url
            if config.broker.embedded or (is_default and not broker_answers(address)):
                address = stack.enter_context(embedded_broker())
                settings |= {"USAGE_AGENT_BROKER__URL": str(address), "USAGE_AGENT_BROKER__PROTOCOL": "3.1.1"}
            screen = Screen(config.broker, address, f"{config.topics.base}/{topic_level(config.agent.host)}")
            stack.callback(screen.close)
            # The agent is started afterwards: a message that nobody subscribes to is seen by nobody.
            if not screen.subscribed.wait(SUBSCRIBE_SECONDS):
                say(f"{address} grants us no subscription yet: the first messages may not be shown")
        return run_agent(arguments, settings)


def run_agent(arguments: Sequence[str], settings: Mapping[str, str]) -> int:
    """Run the agent and hand on to it every wish that it ends."""
    command = [str(Path(sys.executable).with_name("usage-agent")), "run", *arguments]
    # A session of its own: Ctrl-C reaches us alone, and the agent by us, once.
    command = end_with_parent(command, "TERM")
    agent = subprocess.Popen(command, env=os.environ | settings, start_new_session=True)  # noqa: S603  # our own program

    def hand_on(_number: int, _frame: FrameType | None) -> None:
        agent.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGINT, hand_on)
    signal.signal(signal.SIGTERM, hand_on)
    return agent.wait()


def main() -> int:
    """Look, or say what is missing for it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--config", type=Path)
    options, _ = parser.parse_known_args()
    arguments = [argument for argument in sys.argv[1:] if argument != "--missing"]
    try:
        config = load(options.config, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if options.missing:
        print(*missing(config))
        return 0
    try:
        return look(config, arguments)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
