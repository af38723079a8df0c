"""Shared fixtures: real engines and brokers, fakes of both, subscribers, and agents."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from support.assertions.recording_subscriber import HOST, RecordingSubscriber
from support.daemons.agent import RUN, RunningAgent
from support.daemons.certificates import Certificates
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.network import FarBroker, Network
from support.daemons.podman import Podman
from support.daemons.processes import Daemon
from support.daemons.rabbitmq import RabbitMQ
from support.daemons.subscriber import Subscriber
from support.fakes.engine import FakeEngine
from support.fakes.scripted_broker import ScriptedBroker

Config = dict[str, dict[str, Any]]
AnyDaemon = TypeVar("AnyDaemon", bound=Daemon)


@pytest.fixture(scope="session")
def engine(session_path: Path) -> Iterator[PrivateEngine]:
    """Yield a real engine that all tests share; the containers of a test are removed after it."""
    yield from _running(PrivateEngine(session_path / "engine"))


@pytest.fixture(autouse=True)
def remove_left_containers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove the containers that a test leaves on the shared engine."""
    if "engine" not in request.fixturenames:
        yield
        return
    shared: PrivateEngine = request.getfixturevalue("engine")
    before = shared.containers()
    yield
    shared.remove(*(shared.containers() - before))


@pytest.fixture
def own_engine(short_path: Path) -> Iterator[Callable[..., PrivateEngine]]:
    """Yield a function that starts engines for one test, which may kill and freeze them.

    Example: `own_engine("--live-restore")`.
    """
    made: list[PrivateEngine] = []

    def make(*options: str) -> PrivateEngine:
        made.append(PrivateEngine(short_path / f"engine{len(made)}", *options))
        made[-1].start()
        return made[-1]

    yield make
    _close(made)


@pytest.fixture(scope="session")
def podman(session_path: Path) -> Iterator[Podman]:
    """Yield a real Podman that all tests share."""
    yield from _running(Podman(session_path / "podman"))


@pytest.fixture(scope="session")
def broker(session_path: Path) -> Iterator[Mosquitto]:
    """Yield a real broker that all tests share: each test uses its own topics."""
    yield from _running(Mosquitto(session_path / "broker"))


@pytest.fixture
def own_broker(short_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Yield a function that starts brokers for one test, which may kill and freeze them.

    Example: `own_broker("max_packet_size 2000")`.
    """
    made: list[Mosquitto] = []

    def make(*lines: str, port: int | None = None) -> Mosquitto:
        made.append(Mosquitto(short_path / f"broker{len(made)}", *lines, port=port))
        made[-1].start()
        return made[-1]

    yield make
    _close(made)


@pytest.fixture(scope="session")
def rabbitmq(session_path: Path) -> Iterator[RabbitMQ]:
    """Yield a RabbitMQ that all tests share: each test uses its own topics."""
    yield from _running(RabbitMQ(session_path / "rabbitmq"))


@pytest.fixture
def network() -> Iterator[Network]:
    """Yield a network with a host for the agent and one for the broker; the test may interrupt it."""
    made = Network()
    yield made
    made.close()


@pytest.fixture
def far_broker(network: Network, short_path: Path) -> Iterator[FarBroker]:
    """Yield a broker on the broker's host of the network."""
    yield from _running(FarBroker(short_path / "far-broker", network))


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    """Yield a function that connects subscribers: `subscribe(broker.url, "containers/#")`."""
    made: list[Subscriber] = []

    def make(url: str, *filters: str, **login: Any) -> Subscriber:
        made.append(Subscriber(url, *filters, **login))
        return made[-1]

    yield make
    _close(made)


@pytest.fixture
def fake_engine(short_path: Path) -> Iterator[FakeEngine]:
    """Yield an engine that answers from recorded documents; its faults are scripted."""
    fake = FakeEngine(short_path / "fake.sock")
    try:
        fake.start()
        yield fake
    finally:
        fake.close()


@pytest.fixture
def agent(short_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    """Yield a function that starts agents: `agent({"broker": {"url": url}})`, `agent(config, "run", "--once")`."""
    made: list[RunningAgent] = []

    def make(
        config: Config, *command: str, environment: dict[str, str] | None = None, inside: Sequence[str] = ()
    ) -> RunningAgent:
        made.append(RunningAgent(short_path / f"agent{len(made)}", config, command or RUN, environment, inside))
        return made[-1]

    yield make
    _close(made)


@pytest.fixture
def record() -> Iterator[Callable[..., RecordingSubscriber]]:
    """Yield a function that connects recording subscribers; all their messages are checked at the end."""
    made: list[RecordingSubscriber] = []

    def make(broker: Mosquitto, qos: int = 1) -> RecordingSubscriber:
        made.append(RecordingSubscriber(broker.url, qos))
        return made[-1]

    yield make
    for subscriber in made:
        subscriber.close()
        subscriber.check()


@pytest.fixture
def start_agent(agent: Callable[..., RunningAgent]) -> Callable[..., RunningAgent]:
    """Return a function that starts agents on host `h`, interval 1 s: `start_agent(engine, broker, topics={…})`.

    With a FarBroker the agent runs on the agent's host of that network.
    """

    def make(
        engine: PrivateEngine | FakeEngine,
        broker: Mosquitto | ScriptedBroker,
        /,
        *command: str,
        environment: dict[str, str] | None = None,
        inside: Sequence[str] = (),
        **tables: dict[str, Any],
    ) -> RunningAgent:
        far = broker if isinstance(broker, FarBroker) else None
        config: Config = {
            "agent": {"host": HOST, "interval": 1},
            "engine": {"url": engine.url, "timeout": 5},
            "broker": {"url": far.far_url if far else broker.url, "client_id": f"usage-agent-{uuid.uuid4().hex[:8]}"},
            "shutdown": {"timeout": 2},
        }
        for table, keys in tables.items():
            config[table] = config.get(table, {}) | keys
        inside = [*(far.network.at_agent if far else ()), *inside]
        return agent(config, *(command or RUN), environment=environment, inside=inside)

    return make


@pytest.fixture
def scripted_broker() -> Iterator[ScriptedBroker]:
    """Yield a broker whose answers the test scripts."""
    made = ScriptedBroker()
    yield made
    made.close()


@pytest.fixture(scope="session")
def certificates(session_path: Path) -> Certificates:
    """Return valid and invalid certificates and the authorities that signed them."""
    directory = session_path / "certificates"
    directory.mkdir(exist_ok=True)
    return Certificates(directory)


def _running(daemon: AnyDaemon) -> Iterator[AnyDaemon]:
    """Start a daemon, yield it, and end it, even if it did not start."""
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()


def _close(made: list[Any]) -> None:
    """Close all parts, the newest first, even if some fail to close."""
    errors: list[Exception] = []
    for part in reversed(made):
        try:
            part.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("parts that failed to close", errors)
