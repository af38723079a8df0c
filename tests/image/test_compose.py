"""The Compose files: a real Docker Compose starts what they describe, on the tests' engine."""

import json
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.daemons import debian
from support.daemons.compose import Compose, build_socket_proxy, import_mosquitto
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Subscriber, retained

pytestmark = pytest.mark.image

DEPLOY = debian.PROJECT / "deploy"
AGENT_USER = 10001
PASSWORD = "open-sesame"
# Where the engine's socket is in these tests; on a machine of its own it is in /run. Health checks do not wait.
OVERRIDE = """\
services:
  {service}:
    healthcheck: {{interval: 1s}}
    volumes: ["{directory}:/host/run:ro"]
"""

Project = Callable[..., Compose]


@pytest.fixture
def project(engine: PrivateEngine, tmp_path: Path) -> Iterator[Project]:
    """Yield a function that makes a project of a copy of a file, with the lines of `.env`; it is taken down at the end.

    `with_socket` is the service that has the engine's socket; the directories of `others` are empty.
    """
    made: list[Compose] = []

    def make(file: str, *lines: str, with_socket: str = "usage-agent", others: Sequence[str] = ()) -> Compose:
        shutil.copytree(DEPLOY, tmp_path / "deploy")
        (tmp_path / "deploy/.env").write_text("\n".join(lines))
        (tmp_path / "empty").mkdir()
        files = [tmp_path / "deploy" / file]
        for name, directory in {**dict.fromkeys(others, tmp_path / "empty"), with_socket: engine.directory}.items():
            files.append(tmp_path / f"{name}.yaml")
            files[-1].write_text(OVERRIDE.format(service=name, directory=directory))
        made.append(Compose(engine, *files))
        return made[-1]

    yield make
    for compose in made:
        compose("--profile=*", "down", "--timeout=10", "--volumes")


@pytest.fixture
def guarded(own_broker: Callable[..., Mosquitto], tmp_path: Path) -> tuple[Mosquitto, int]:
    """Return a broker with a password, and its port that containers can reach."""
    users = tmp_path / "users"
    users.touch()
    subprocess.run(["mosquitto_passwd", "-b", str(users), "box", PASSWORD], check=True)
    port = free_port()
    return own_broker(f"listener {port} 0.0.0.0", "allow_anonymous false", f"password_file {users}"), port


@pytest.mark.parametrize("file", ["compose.yaml", "first-look.yaml"])
def test_nothing_has_to_be_set(engine: PrivateEngine, tmp_path: Path, file: str) -> None:
    """Without `.env` and variables the file is valid, and `ps`, `logs` and `down` work."""
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns(".env"))
    compose = Compose(engine, tmp_path / "deploy" / file)
    compose("config", "--quiet")
    compose("ps", "--all")
    compose("logs")
    compose("down")


def test_compose_builds_the_images(engine: PrivateEngine, image: str) -> None:
    """`build` makes the images that the Dockerfile describes: here, those that the tests have."""
    names = (image, f"{image}-web")
    before = [_content(engine, name) for name in names]
    Compose(engine, DEPLOY / "first-look.yaml")("build", "--build-arg=PYTHON_IMAGE=python")
    assert [_content(engine, name) for name in names] == before


@pytest.mark.usefixtures("image")
def test_agent_with_a_password_reads_the_kernel(
    engine: PrivateEngine, project: Project, guarded: tuple[Mosquitto, int], subscribe: Callable[..., Subscriber]
) -> None:
    """With the settings of `.env.example` the agent publishes as the host, from the kernel's files, and is healthy."""
    broker, port = guarded
    lines = _settings(
        DOCKER_GID=engine.socket.stat().st_gid,
        USAGE_AGENT_BROKER__URL=f"mqtt://host.docker.internal:{port}",
        USAGE_AGENT_BROKER__USERNAME="box",
        BROKER_PASSWORD_FILE="./broker-password",
        USAGE_AGENT_AGENT__INTERVAL=1,
    )
    compose = project("compose.yaml", *lines)
    _write_password(compose)
    compose("up", "--detach", "--no-build")
    subscriber = subscribe(broker.url, "containers/#", username="box", password=PASSWORD)
    host = socket.gethostname()
    subscriber.wait_for(lambda message: message.topic == f"containers/{host}/status" and _source(message) == "kernel")
    usage = subscriber.wait_for(lambda message: message.topic.endswith("/usage"))[0].json
    assert usage["container"]["service"] == "usage-agent"
    wait_until(lambda: "(healthy)" in compose("ps"), PATIENCE, "the agent is not healthy")
    assert PASSWORD not in compose("logs") + engine.docker("inspect", usage["container"]["id"])
    compose("down")
    statuses = [json.loads(payload) for payload in retained(broker.url, username="box", password=PASSWORD).values()]
    assert {status["reason"] for status in statuses} == {"exit", "agent exit"}


@pytest.mark.usefixtures("image")
def test_agent_behind_the_proxy_has_no_socket(
    engine: PrivateEngine,
    project: Project,
    own_broker: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
    tmp_path: Path,
) -> None:
    """With the profile `proxy` the agent reads the kernel's files, too, and has neither the socket nor its group."""
    (tmp_path / "proxy").mkdir()
    build_socket_proxy(engine, tmp_path / "proxy")
    port = free_port()
    broker = own_broker(f"listener {port} 0.0.0.0")
    lines = _settings(
        COMPOSE_PROFILES="proxy",
        PROXY_GID=engine.socket.stat().st_gid,
        USAGE_AGENT_BROKER__URL=f"mqtt://host.docker.internal:{port}",
    )
    compose = project("compose.yaml", *lines, with_socket="socket-proxy", others=["usage-agent"])
    plan = json.loads(Compose(engine, compose.directory / "compose.yaml")("config", "--format=json"))
    agent = plan["services"]["usage-agent"]
    assert [mount["source"] for mount in agent["volumes"] if mount["target"] == "/host/run"] == ["/run/lock"]
    assert agent["group_add"] == [str(AGENT_USER)]
    compose("up", "--detach", "--no-build")
    subscriber = subscribe(broker.url, "containers/#")
    subscriber.wait_for(lambda message: _source(message) == "kernel")
    usage = subscriber.wait_for(lambda message: message.topic.endswith("/usage"))[0].json
    assert usage["container"]["service"] in plan["services"]


@pytest.mark.usefixtures("image")
def test_first_look_shows_every_container(engine: PrivateEngine, project: Project) -> None:
    """One command without any setting: the page has broker, agent and page, each with its usage."""
    import_mosquitto(engine)
    port = free_port()
    compose = project("first-look.yaml", f"WEB_PORT={port}", others=["web"])
    compose("up", "--detach", "--no-build")
    services = {"mosquitto", "usage-agent", "web"}
    wait_until(lambda: services <= _shown(port), PATIENCE, "the page does not show every container")
    wait_until(lambda: compose("ps").count("(healthy)") == 2, PATIENCE, "agent and page are not healthy")


def _content(engine: PrivateEngine, image: str) -> tuple[list[str], list[str]]:
    """Return the layers and the command of an image."""
    [found] = json.loads(engine.docker("inspect", image))
    return found["RootFS"]["Layers"], found["Config"]["Cmd"]


def _settings(**values: object) -> list[str]:
    """Return the lines of `.env.example` with these values; each of them has a line there, in use or as a comment."""
    example = (DEPLOY / ".env.example").read_text()
    for name, value in values.items():
        example, found = re.subn(rf"^(# )?{name}=.*$", f"{name}={value}", example, flags=re.MULTILINE)
        assert found == 1, name
    return example.splitlines()


def _write_password(compose: Compose) -> None:
    file = compose.directory / "broker-password"
    file.write_text(PASSWORD)
    file.chmod(0o400)
    shutil.chown(file, AGENT_USER)


def _source(message: Any) -> str | None:
    return message.json.get("source") if message.topic.count("/") == 2 and message.payload else None


def _shown(port: int) -> set[str]:
    """Return the Compose services of which the page has a usage."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/containers", timeout=PATIENCE) as answer:
            containers = json.load(answer)["containers"]
    except OSError:  # the page is not there yet
        return set()
    return {found["usage"]["container"]["service"] for found in containers if found.get("usage")}
