"""Requirements, order and rule on warnings of all tests; the shared fixtures are in support/fixtures.py."""

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
from support import browser, home, progress
from support.daemons import debian, dockerd, faketime, mosquitto, nats, network, podman, qemu, rabbitmq, sshd, systemd
from support.home_assistant import installation
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # has no types of its own

pytest_plugins = ["support.fixtures"]


def fuzzer_missing() -> str | None:
    """Return why fuzzing is not possible here, or None."""
    return None if importlib.util.find_spec("atheris") else "atheris is not installed: it has no wheel for this Python"


REQUIREMENTS: dict[str, Callable[[], str | None]] = {
    "engine": dockerd.missing,
    "broker": mosquitto.missing,
    "rabbitmq": rabbitmq.missing,
    "nats": nats.missing,
    "network": network.missing,
    "podman": podman.missing,
    "ssh": sshd.missing,
    "faketime": faketime.missing,
    "root": lambda: None if os.geteuid() == 0 else "only root can mount",
    "systemd": systemd.missing,
    "image": systemd.missing,
    "package": debian.builder_missing,
    "fuzz": fuzzer_missing,
    "machine": qemu.missing,
    "browser": browser.missing,
    "documents": home.missing,
    "home_assistant": lambda: mosquitto.missing() or installation.missing(),
}
"""By marker: a function that returns why such a test cannot run on this machine, or None."""

MARKED_BY_FIXTURE = {
    "engine": "engine",
    "own_engine": "engine",
    "podman": "podman",
    "broker": "broker",
    "own_broker": "broker",
    "rabbitmq": "rabbitmq",
    "cluster": "nats",
    "network": "network",
    "home_assistant": "home_assistant",
    "browser": "browser",
    "home": "documents",
}


# On a busy machine any example may take long, and so may the generation of its data.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

HEAVY = ("machine", "image", "systemd", "fuzz")
"""Markers of tests that load the whole machine for minutes: no test with a time limit may run at the same time."""

GROUPS = {
    "tests/image/test_compose.py": "Debian",
    "tests/image/test_image.py": "Debian",
    "tests/systemd/test_package.py": "Debian",
    "tests/systemd/test_systemd.py": "Debian",
    "tests/documents/test_prometheus.py": "documents",
    "tests/documents/test_subscribers.py": "documents",
    "tests/systemd/test_install_service.py": "Debian",
    "tests/systemd/test_packages.py": "Debian",
    "tests/kernel/test_machine.py": "qemu",
    "tests/fleet/web/test_page.py": "browser",
    "tests/fleet/web/test_page_container.py": "browser",
    "tests/fleet/web/test_page_values.py": "browser",
    "tests/fleet/web/test_page_faults.py": "browser",
    "tests/mqtt/test_rabbitmq.py": "RabbitMQ",
    "tests/end_to_end/test_parity.py": "docker stats",
    "tests/faults/test_broker_frozen.py": "many containers",
    "tests/faults/test_broker_lost.py": "many containers",
    "tests/faults/test_many_containers.py": "many containers",
}
"""By file: tests that share an expensive resource, or that would slow each other down. One worker runs a group, one
test after the other."""

GROUP_BY_PARAMETER = re.compile(r"home-assistant-[\d.]+")
"""A parameter in a test's id that makes it part of a group: tests share one Home Assistant of each version."""

SLOW_DIRECTORIES = ("faults", "end_to_end", "mqtt", "containers", "collection", "engine")
"""Directories with the longest tests, longest first: they begin first, so that short tests fill the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option by which `scripts/test` runs the heavy tests separately."""
    parser.addoption("--part", choices=["heavy", "light"], help="tests that load the whole machine, or all others")


def pytest_configure(config: pytest.Config) -> None:
    """Handle SIGTERM like Ctrl-C, so that all started programs are ended, and search root's directories for daemons."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    progress.show = partial(_show, config.pluginmanager.getplugin("capturemanager"))


def _show(capture: Any, line: str) -> None:
    """Print a line on the terminal although pytest captures the output, also from a worker of pytest-xdist."""
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        print(f"\n==> {line}", file=sys.stderr, flush=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test by the fixtures it uses: `-m "not engine and not broker"` selects those that need neither.

    Then select the part of the option `--part`, and sort the slowest tests to the beginning.
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
        items.sort(key=_sort_key)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return a scheduler that gives each free worker the next test or the next group.

    pytest-xdist has `loadgroup` for that, but version 3.8 does not find its marks with pytest 9.2.
    """
    return Scheduler(config, log)


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """Scheduler of single tests and of the groups in GROUPS and GROUP_BY_PARAMETER."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid) or nodeid


def _group(nodeid: str) -> str | None:
    path, _, name = nodeid.partition("::")
    parameter = GROUP_BY_PARAMETER.search(name)
    return parameter[0] if parameter else GROUPS.get(path)


def _heavy(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(marker) for marker in HEAVY)


def _sort_key(item: pytest.Item) -> tuple[bool, bool, int]:
    """Return the sort key of a test: groups come first, as one worker runs a whole group."""
    directory = item.path.parent.name
    rank = SLOW_DIRECTORIES.index(directory) if directory in SLOW_DIRECTORIES else len(SLOW_DIRECTORIES)
    return _group(item.nodeid) is None, not item.get_closest_marker("slow"), rank


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that cannot run on this machine; in CI fail it, as every test has to run there."""
    for marker, missing in REQUIREMENTS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            if os.environ.get("CI") == "true":
                pytest.fail(f"no test may be skipped in CI: {reason}", pytrace=False)
            pytest.skip(reason)


class ExpectWarnings(Protocol):
    """Function that announces warnings of the agent's loggers by patterns of their messages."""

    def __call__(self, *patterns: str) -> None:
        """Announce warnings."""


@pytest.fixture(autouse=True)
def expected_warnings(caplog: pytest.LogCaptureFixture) -> Iterator[ExpectWarnings]:
    """Fail a test in which the agent logged a warning that the test did not announce."""
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
    """Yield a directory whose path is short enough for the address of a unix socket (108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def session_path() -> Iterator[Path]:
    """Yield a directory with a short path that exists for the whole session."""
    with tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)
