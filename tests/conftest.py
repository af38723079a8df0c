"""What all tests share: what they need of the machine, the rule on warnings; fixtures are in support/fixtures.py."""

import importlib.util
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, settings
from support import progress
from support.daemons import dockerd, faketime, mosquitto, network, qemu, sshd, systemd
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # has no types of its own

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


# On a busy machine any example takes long, and any data are slow to make.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

HEAVY = ("machine", "image", "systemd", "fuzz")
"""Markers of tests that load the whole machine for minutes: nothing that is timed may run beside them."""

GROUPS = {
    "tests/image/test_image.py": "Debian",
    "tests/systemd/test_systemd.py": "Debian",
    "tests/kernel/test_machine.py": "qemu",
    "tests/end_to_end/test_parity.py": "docker stats",
    "tests/faults/test_broker_frozen.py": "many containers",
    "tests/faults/test_broker_lost.py": "many containers",
    "tests/faults/test_many_containers.py": "many containers",
}
"""By file: tests that share something that is expensive to make, or that would slow each other down. One worker runs a
group, one test after the other."""

WAITING = ("faults", "end_to_end", "mqtt", "containers", "collection", "engine")
"""Directories whose tests wait longest, the longest first: they begin first, so that short tests fill the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `scripts/test` run the heavy tests apart from all others."""
    parser.addoption("--part", choices=["heavy", "light"], help="only the tests that load the whole machine, or others")


def pytest_configure(config: pytest.Config) -> None:
    """End as after Ctrl-C when we are asked to end, so that everything started is ended; find daemons as root does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    progress.show = partial(_show, config.pluginmanager.getplugin("capturemanager"))


def _show(capture: Any, line: str) -> None:
    """Print a line where the user sees it, whatever pytest captures; also from a worker of pytest-xdist."""
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        print(f"\n==> {line}", file=sys.stderr, flush=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test by the parts it uses: `-m "not engine and not broker"` selects those that need nothing.

    Then keep the part that was asked for, and begin with what takes longest.
    """
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker("fault")
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKED_BY_FIXTURE:
                item.add_marker(MARKED_BY_FIXTURE[fixture])
    if part := config.getoption("part"):
        others = [item for item in items if _heavy(item) != (part == "heavy")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _heavy(item) == (part == "heavy")]
    if hasattr(config, "workerinput"):  # one of several workers
        items.sort(key=_place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Give each worker that is free the next test, or the next group.

    The `loadgroup` of pytest-xdist does that by a mark, but 3.8 does not see it under pytest 9.2.
    """
    return Scheduler(config, log)


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """Schedules single tests and groups."""

    def _split_scope(self, nodeid: str) -> str:
        return GROUPS.get(nodeid.partition("::")[0], nodeid)


def _heavy(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(marker) for marker in HEAVY)


def _place(item: pytest.Item) -> tuple[bool, bool, int]:
    """Where a test belongs in the order: groups, which one worker takes whole, come first."""
    directory = item.path.parent.name
    waits = WAITING.index(directory) if directory in WAITING else len(WAITING)
    return item.nodeid.partition("::")[0] not in GROUPS, not item.get_closest_marker("slow"), waits


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
