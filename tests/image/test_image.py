"""The image: its content, and that it runs with minimal rights."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Subscriber, retained

pytestmark = pytest.mark.image

STATUS = "containers/box/status"
MAX_BYTES = 60e6  # Python's image has more than twice as many
CONTENT = """\
import os, pathlib, sys
print(*(name for directory in os.get_exec_path() if os.path.isdir(directory) for name in os.listdir(directory)))
print(*(path.name for path in pathlib.Path(sys.prefix).glob("lib/python3*/site-packages/*")))
print(*os.listdir("/"))
"""
CERTIFICATES = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
UNCOMPILED = """\
import sys, pathlib, agent.cli
specs = (getattr(module, "__spec__", None) for module in sys.modules.values())
print(*(spec.name for spec in specs if spec and spec.cached and not pathlib.Path(spec.cached).exists()))
"""


def test_image_runs_as_a_numeric_user_and_has_a_health_check(engine: PrivateEngine, image: str) -> None:
    """The user is numeric and not root; the agent receives signals; health check and license label are set."""
    config = _inspect(engine, image)["Config"]
    assert all(part.isdecimal() and int(part) > 0 for part in config["User"].split(":"))
    assert config["Entrypoint"] == ["usage-agent"]
    assert config["Cmd"] == ["run"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "usage-agent", "health"]
    assert (
        config["Labels"].items()
        >= {
            "org.opencontainers.image.title": "usage-agent",
            "org.opencontainers.image.licenses": "MPL-2.0",
            "org.opencontainers.image.description": "Publishes the resource usage of every container to MQTT",
        }.items()
    )


def test_image_contains_nothing_but_the_agent(engine: PrivateEngine, image: str) -> None:
    """The image has no shell, pip, sources and build tools, and names the Debian packages that are in it."""
    assert 0 < _inspect(engine, image)["Size"] < MAX_BYTES < _inspect(engine, "python")["Size"]
    programs, modules, places = _python(engine, image, CONTENT).split("\n")
    assert {"usage-agent", "python3"} < set(programs.split())
    assert not {"sh", "apt", "dpkg", "pip"} & set(programs.split())
    assert {"agent", "docker"} < set(modules.split())
    assert not {"pip", "hatchling", "setuptools", "pytest"} & set(modules.split())
    assert not {"src", "build", "wheels"} & set(places.split())
    packages = _python(engine, image, "import os; print(*os.listdir('/var/lib/dpkg/status.d'))").split()
    assert {"libc6", "libssl3"} <= set(packages)


def test_image_has_what_tls_and_names_need(engine: PrivateEngine, image: str) -> None:
    """Public certificates are trusted, and names are looked up in /etc/hosts and by DNS."""
    assert int(_python(engine, image, CERTIFICATES)) > 50
    assert _python(engine, image, "print(open('/etc/nsswitch.conf').read(), end='')") == "hosts: files dns"


def test_every_module_is_compiled_in_the_image(engine: PrivateEngine, image: str) -> None:
    """All imported modules were compiled when the image was built, so that no start compiles them again."""
    assert _python(engine, image, UNCOMPILED) == ""


def test_image_of_the_page_shares_the_program(engine: PrivateEngine, image: str) -> None:
    """The page's image adds no layer to the agent's, has a health check of its own, and refuses to serve everybody."""
    agent, page = _inspect(engine, image), _inspect(engine, f"{image}-web")
    assert page["RootFS"] == agent["RootFS"]
    assert page["Config"]["Cmd"] == ["web"]
    assert page["Config"]["User"] == agent["Config"]["User"]
    assert "/healthz" in page["Config"]["Healthcheck"]["Test"][-1]
    assert page["Config"]["Labels"]["org.opencontainers.image.title"] == "usage-agent-web"
    started = engine.run(image=f"{image}-web")
    assert engine.docker("wait", started) == "2"
    logged = subprocess.run(
        ["docker", "logs", started], env=engine.environment, stderr=subprocess.PIPE, check=True
    ).stderr.decode()
    assert "web.anonymous" in logged


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


def _python(engine: PrivateEngine, image: str, program: str) -> str:
    """Run a program with the Python of an image, and return its output."""
    return engine.docker("run", "--rm", "--network=none", "--read-only", "--entrypoint=python3", image, "-c", program)


def _inspect(engine: PrivateEngine, name: str) -> dict[str, Any]:
    document: list[dict[str, Any]] = json.loads(engine.docker("inspect", name))
    return document[0]
