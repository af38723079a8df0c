"""What all tests share: what they need of the machine, the rule on warnings; fixtures are in support/fixtures.py."""

import importlib.util
import logging
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from support.daemons import dockerd, faketime, mosquitto, network, qemu, sshd, systemd

pytest_plugins = ["support.fixtures"]


def fuzzer_missing() -> str | None:
    """Say what keeps us from fuzzing, if anything does."""
    return None if importlib.util.find_spec("atheris") else "atheris is not installed: it has no wheel for this Python"


NEEDS: dict[str, Callable[[], str | None]] = {
    "engine": dockerd.missing,
    "broker": mosquitto.missing,
    "network": network.missing,
    "ssh": sshd.missing,
    "faketime": faketime.missing,
    "root": lambda: None if os.geteuid() == 0 else "mounts can be made by root only",
    "systemd": systemd.missing,
    "image": systemd.missing,
    "fuzz": fuzzer_missing,
    "machine": qemu.missing,
}
"""By marker: what says why this machine cannot run such a test."""

MARKED_BY_FIXTURE = {
    "engine": "engine",
    "own_engine": "engine",
    "broker": "broker",
    "own_broker": "broker",
    "network": "network",
}


def pytest_configure() -> None:
    """End as after Ctrl-C when we are asked to end, so that everything started is ended; find daemons as root does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the parts it uses: `-m "not engine and not broker"` selects those that need nothing."""
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker("fault")
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
