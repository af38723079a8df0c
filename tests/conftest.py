"""What all tests share: the real parts, what they need of the machine, and the law on warnings."""

import logging
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from parts import dockerd, mosquitto, sshd, systemd
from parts.agent import RUN, RunningAgent
from parts.dockerd import PrivateEngine
from parts.fake_engine import FakeEngine
from parts.mosquitto import Mosquitto
from parts.subscriber import Subscriber

NEEDS: dict[str, Callable[[], str | None]] = {
    "engine": dockerd.missing,
    "broker": mosquitto.missing,
    "ssh": sshd.missing,
    "systemd": systemd.missing,
    "image": systemd.missing,
}
"""By marker: what says why this machine cannot run such a test."""

MARKED_BY_FIXTURE = {"engine": "engine", "own_engine": "engine", "broker": "broker", "own_broker": "broker"}


def pytest_configure() -> None:
    """End as after Ctrl-C when we are asked to end, so that everything started is ended; find daemons as root does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the parts it uses: `-m "not engine and not broker"` selects those that need nothing."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKED_BY_FIXTURE:
                item.add_marker(MARKED_BY_FIXTURE[fixture])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that this machine cannot run; in CI that is a failure, for there nothing may go untested."""
    for marker, missing in NEEDS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            if os.environ.get("CI") == "true":
                pytest.fail(f"in CI nothing is skipped: {reason}", pytrace=False)
            pytest.skip(reason)


class ExpectWarnings(Protocol):
    """Announces warnings of the agent's loggers by patterns that their messages match."""

    def __call__(self, *patterns: str) -> None:
        """Announce them."""


@pytest.fixture(autouse=True)
def expected_warnings(caplog: pytest.LogCaptureFixture) -> Iterator[ExpectWarnings]:
    """Fail a test in which the agent warned of something that the test did not announce."""
    announced: list[str] = []
    yield lambda *patterns: announced.extend(patterns)
    unannounced = [
        f"{record.levelname} {record.name}: {record.getMessage()}"
        for phase in ("setup", "call")
        for record in caplog.get_records(phase)
        if record.levelno >= logging.WARNING and record.name.split(".")[0] == "agent"
        if not any(re.search(pattern, record.getMessage()) for pattern in announced)
    ]
    assert not unannounced, "unannounced warnings:\n" + "\n".join(unannounced)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a directory whose path is short enough for a socket's (108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def session_path() -> Iterator[Path]:
    """Give the same for as long as the session lasts."""
    with tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def engine(session_path: Path) -> Iterator[PrivateEngine]:
    """Give a real engine that all tests share; containers that a test made are removed after it."""
    shared = PrivateEngine(session_path / "engine")
    try:
        shared.start()
        yield shared
    finally:
        shared.close()


@pytest.fixture(autouse=True)
def tidy_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove what a test leaves on the shared engine."""
    if "engine" not in request.fixturenames:
        yield
        return
    shared: PrivateEngine = request.getfixturevalue("engine")
    before = shared.containers()
    yield
    shared.remove(*(shared.containers() - before))


@pytest.fixture
def own_engine(short_path: Path) -> Iterator[Callable[..., PrivateEngine]]:
    """Give a maker of engines that the test may kill and freeze: `own_engine("--live-restore")`."""
    made: list[PrivateEngine] = []

    def make(*options: str) -> PrivateEngine:
        made.append(PrivateEngine(short_path / f"engine{len(made)}", *options))
        made[-1].start()
        return made[-1]

    yield make
    _close(made)


@pytest.fixture(scope="session")
def broker(session_path: Path) -> Iterator[Mosquitto]:
    """Give a real broker that all tests share: use topics of your own."""
    shared = Mosquitto(session_path / "broker")
    try:
        shared.start()
        yield shared
    finally:
        shared.close()


@pytest.fixture
def own_broker(short_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Give a maker of brokers that the test may kill and freeze: `own_broker("max_packet_size 2000")`."""
    made: list[Mosquitto] = []

    def make(*lines: str, port: int | None = None) -> Mosquitto:
        made.append(Mosquitto(short_path / f"broker{len(made)}", *lines, port=port))
        made[-1].start()
        return made[-1]

    yield make
    _close(made)


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    """Give a maker of subscribers: `subscribe(broker.url, "containers/#")`."""
    made: list[Subscriber] = []

    def make(url: str, *filters: str, **login: str) -> Subscriber:
        made.append(Subscriber(url, *filters, **login))
        return made[-1]

    yield make
    _close(made)


@pytest.fixture
def fake_engine(short_path: Path) -> Iterator[FakeEngine]:
    """Give an engine that answers from recorded documents, and misbehaves when told to."""
    fake = FakeEngine(short_path / "fake.sock")
    try:
        fake.start()
        yield fake
    finally:
        fake.close()


@pytest.fixture
def agent(short_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    """Give a maker of agents: `agent({"broker": {"url": broker.url}})`, `agent(config, "run", "--once")`."""
    made: list[RunningAgent] = []

    def make(
        config: dict[str, dict[str, Any]], *command: str, environment: dict[str, str] | None = None
    ) -> RunningAgent:
        made.append(RunningAgent(short_path / f"agent{len(made)}", config, command or RUN, environment))
        return made[-1]

    yield make
    _close(made)


def _close(made: list[Any]) -> None:
    """Close all, the newest first; one that fails to close does not keep the others open."""
    errors: list[Exception] = []
    for part in reversed(made):
        try:
            part.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("parts that did not close", errors)
