"""The image: its content, and that it runs with minimal rights."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.daemons import debian
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Subscriber, retained
from support.progress import report

pytestmark = pytest.mark.image

STATUS = "containers/box/status"
MAX_ADDED_BYTES = 40e6  # to the size of Python's image
# A substitute for Python's official image, without a registry: it has the wheels and no compiled modules.
PYTHON = """\
FROM debian
RUN find /usr/lib/python3* -name '*.pyc' -delete
COPY wheels /wheels
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
"""
UNCOMPILED = """\
import sys, pathlib, agent.cli
specs = (getattr(module, "__spec__", None) for module in sys.modules.values())
print(*(spec.name for spec in specs if spec and spec.cached and not pathlib.Path(spec.cached).exists()))
"""


@pytest.fixture(scope="module")
def image(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the image with its Dockerfile on the tests' Debian, and return its name."""
    report("building the agent's image")
    directory = tmp_path_factory.mktemp("python")
    debian.import_debian(engine)
    debian.wheelhouse(directory / "wheels")
    (directory / "Dockerfile").write_text(PYTHON)
    build = ("build", "--quiet", "--network=none")
    engine.docker(*build, "--tag=python", str(directory), timeout=300)
    engine.docker(*build, "--build-arg=PYTHON_IMAGE=python", "--tag=usage-agent", str(debian.PROJECT), timeout=300)
    return "usage-agent"


def test_image_runs_as_a_numeric_user_and_has_a_health_check(engine: PrivateEngine, image: str) -> None:
    """The user is numeric and not root; the agent receives signals; health check and license label are set."""
    config = _inspect(engine, image)["Config"]
    assert all(part.isdecimal() and int(part) > 0 for part in config["User"].split(":"))
    assert config["Entrypoint"] == ["usage-agent"]
    assert config["Cmd"] == ["run"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "usage-agent", "health"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "MPL-2.0"


def test_image_contains_no_build_tools(engine: PrivateEngine, image: str) -> None:
    """The image has no pip, no sources and no build tools, and adds little to Python's image."""
    size: int = _inspect(engine, image)["Size"] - _inspect(engine, "python")["Size"]
    assert 0 < size < MAX_ADDED_BYTES
    shell = ("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c")
    modules = engine.docker(*shell, "ls /opt/usage-agent/lib/python3*/site-packages; ls -d /src /build 2>&1 || true")
    assert "docker" in modules
    assert not [name for name in ("pip", "hatchling", "setuptools", "pytest") if name in modules.split()]
    assert modules.count("No such file") == 2


def test_every_module_is_compiled_in_the_image(engine: PrivateEngine, image: str) -> None:
    """All imported modules were compiled when the image was built, so that no start compiles them again."""
    command = ("run", "--rm", "--network=none", "--read-only", "--entrypoint=python3", image)
    uncompiled = engine.docker(*command, "-c", UNCOMPILED)
    assert uncompiled == ""


def test_read_only_container_publishes_and_ends_cleanly(
    engine: PrivateEngine,
    image: str,
    own_broker: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
) -> None:
    """Read-only, without root and capabilities, the agent publishes, is healthy, and ends with `stopped` retained."""
    broker = own_broker()
    container = engine.run(
        image=image,
        stop_signal="TERM",
        network="host",
        read_only=True,
        cap_drop="ALL",
        security_opt="no-new-privileges",
        volume=[f"{engine.socket}:/var/run/docker.sock"],
        group_add=engine.socket.stat().st_gid,
        health_interval="1s",
        env={
            "USAGE_AGENT_AGENT__HOST": "box",
            "USAGE_AGENT_AGENT__INTERVAL": "1",
            "USAGE_AGENT_BROKER__URL": broker.url,
        },
    )
    usage = subscribe(broker.url, "containers/box/+/usage").wait_for(lambda _: True, PATIENCE)[0]
    assert usage.json["container"]["id"] == container
    assert json.loads(retained(broker.url)[STATUS])["source"] == "stream"  # no files of the host are mounted
    wait_until(lambda: _inspect(engine, container)["State"]["Health"]["Status"] == "healthy", PATIENCE, "not healthy")
    engine.docker("stop", container)
    assert _inspect(engine, container)["State"]["ExitCode"] == 0
    statuses = {topic: json.loads(payload) for topic, payload in retained(broker.url).items()}
    assert statuses.pop(STATUS)["reason"] == "exit"
    assert {status["reason"] for status in statuses.values()} == {"agent exit"}


def test_agent_reads_mounted_kernel_files(
    engine: PrivateEngine,
    image: str,
    own_broker: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
) -> None:
    """With the host's files mounted read-only the agent uses the kernel source, without additional rights."""
    broker = own_broker()
    engine.run(
        image=image,
        network="host",
        read_only=True,
        cap_drop="ALL",
        security_opt="no-new-privileges",
        cgroupns="host",
        volume=[
            f"{engine.socket}:/var/run/docker.sock",
            "/proc:/host/proc:ro",
            "/sys/fs/cgroup:/host/sys/fs/cgroup:ro",
        ],
        group_add=engine.socket.stat().st_gid,
        env={
            "USAGE_AGENT_AGENT__HOST": "box",
            "USAGE_AGENT_AGENT__INTERVAL": "1",
            "USAGE_AGENT_BROKER__URL": broker.url,
        },
    )
    subscriber = subscribe(broker.url, STATUS, "containers/box/+/usage")
    subscriber.wait_for(lambda message: message.json.get("source") == "kernel", PATIENCE)
    subscriber.wait_for(lambda message: "seq" in message.json, PATIENCE, count=2)


def _inspect(engine: PrivateEngine, name: str) -> dict[str, Any]:
    document: list[dict[str, Any]] = json.loads(engine.docker("inspect", name))
    return document[0]
