"""The agent needs only the documented rights at the engine and at the broker."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.assertions.recording_subscriber import HOST, ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.socket_proxy import SocketProxy
from support.daemons.subscriber import Subscriber

DEPLOY = Path(__file__).parents[2] / "deploy"
STALE_STATUS = json.dumps(
    {
        "status": "running",
        "time": "2026-01-01T00:00:00Z",
        "container": {"id": "0" * 64, "name": "gone", "image": "busybox"},
    }
)
PASSWORDS = {HOST: "of-this-host", "other": "of-the-other-host", "viewer": "of-the-viewer"}

StartAgent = Callable[..., RunningAgent]


@pytest.fixture
def proxy(engine: PrivateEngine) -> Iterator[SocketProxy]:
    """Return a proxy in front of the shared engine, with the rule of deploy/compose.yaml."""
    [allowed] = re.findall(r"-allowGET=(.*)'", (DEPLOY / "compose.yaml").read_text())
    proxy = SocketProxy(engine.socket, allowed)
    yield proxy
    proxy.close()


@pytest.fixture
def restricted_broker(own_broker: Callable[..., Mosquitto], short_path: Path) -> Mosquitto:
    """Return a broker with a password for each user and the rules of deploy/mosquitto.acl."""
    file = short_path / "passwords"
    file.write_text("".join(f"{user}:{password}\n" for user, password in PASSWORDS.items()))
    subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True)
    return own_broker("allow_anonymous false", f"password_file {file}", f"acl_file {DEPLOY}/mosquitto.acl")


def test_agent_works_behind_a_proxy_with_seven_requests(
    engine: PrivateEngine,
    broker: Mosquitto,
    proxy: SocketProxy,
    start_agent: StartAgent,
    record: Callable[..., RecordingSubscriber],
) -> None:
    """Streaming and polling work behind a proxy that allows only the documented requests, and make no others."""
    subscriber = record(broker)
    engine.run(name="web")
    behind_proxy: dict[str, object] = {"url": proxy.url}
    for source in ("stream", "poll"):
        began = time.monotonic()
        running = start_agent(engine, broker, engine={**behind_proxy, "source": source})
        subscriber.usages("web", count=2, after=began)
        assert subscriber.agent("running", after=began)["engine"]["cgroup"] in ("1", "2")
        engine.docker("rm", "--force", engine.run(name=source))
        subscriber.status(source, "removed")
        assert running.stop() == 0
    check = start_agent(engine, broker, "check", engine=behind_proxy)
    assert check.wait() == 0
    assert proxy.refused == []
    assert any("/stats?stream=true" in request for request in proxy.passed)
    assert any("one-shot=true" in request for request in proxy.passed)


def test_proxy_rule_allows_the_documented_requests(proxy: SocketProxy) -> None:
    """The rule of the proxy allows the requests in SECURITY.md, with and without an API version."""
    [line] = [line for line in (DEPLOY.parent / "SECURITY.md").read_text().splitlines() if "/_ping" in line]
    paths = [path.replace("{id}", "0123456789ab") for path in line.split()]
    assert len(paths) == 7
    assert all(proxy.allows("GET", prefix + path) for path in paths for prefix in ("", "/v1.24", "/v1.52"))


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /containers/create",
        "GET /containers/web/archive",
        "GET /containers/web/logs",
        "GET /images/json",
        "GET /v1.41/containers/web/export",
        "GET /v1.41/secrets",
        "DELETE /v1.41/containers/web",
    ],
)
def test_proxy_rule_refuses_other_requests(proxy: SocketProxy, request_line: str) -> None:
    """The rule lets no client start, read or remove anything."""
    assert not proxy.allows(*request_line.split())


def test_agent_can_publish_for_its_own_host_only(
    engine: PrivateEngine, restricted_broker: Mosquitto, start_agent: StartAgent, subscribe: Callable[..., Subscriber]
) -> None:
    """The documented access rules allow everything that the agent does, and its account cannot publish elsewhere."""
    subscriber = subscribe(restricted_broker.url, "containers/#", username="viewer", password=PASSWORDS["viewer"])
    engine.run(name="web")
    account = {"username": HOST, "password": PASSWORDS[HOST]}
    for topic in (f"{ROOT}/gone/status", "containers/other/web/status"):
        owner = topic.split("/")[1]
        subscribe(restricted_broker.url, username=owner, password=PASSWORDS[owner]).publish(
            topic, STALE_STATUS, retain=True
        )
    running = start_agent(engine, restricted_broker, broker=account)
    subscriber.on(f"{ROOT}/web/usage", count=2)
    subscriber.wait_for(lambda message: message.topic == f"{ROOT}/gone/status" and b'"removed"' in message.payload)
    assert running.stop() == 0
    assert not [line for line in running.lines if "does not" in line]

    intruder = subscribe(restricted_broker.url, **account)
    intruder.publish("containers/other/web/status", b"mine now", retain=True)
    intruder.publish("elsewhere", b"mine too", retain=True)
    intruder.publish(f"{ROOT}/web/status", b"{}", retain=True)
    subscriber.wait_for(lambda message: message.topic == f"{ROOT}/web/status" and message.payload == b"{}")
    accepted = {message.topic for message in subscriber.messages if message.payload.startswith(b"mine")}
    assert accepted == set()
    other = subscribe(restricted_broker.url, "containers/other/#", username="other", password=PASSWORDS["other"])
    assert other.on("containers/other/web/status")[0].payload == STALE_STATUS.encode()
