"""The fake engine behaves as a real one does, to docker's own client."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import docker
import docker.errors
import pytest
import requests
from support.fakes.engine import Answer, FakeEngine


@pytest.fixture
def client(fake_engine: FakeEngine) -> Iterator[docker.APIClient]:
    """Give docker's own client, connected to the fake engine."""
    with contextlib.closing(docker.APIClient(fake_engine.url, version="auto", timeout=5)) as connected:
        yield connected


def test_version_list_and_inspect_answer_as_an_engine_does(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """The client negotiates a version, and an absent container is a 404."""
    web = fake_engine.run("web", labels={"a": "b"})
    fake_engine.create("idle")
    assert client.api_version == "1.41"
    assert [row["Names"] for row in client.containers()] == [["/web"]]
    assert {row["State"] for row in client.containers(all=True)} == {"running", "created"}
    state = client.inspect_container(web.id)["State"]
    assert (state["Running"], state["Status"]) == (True, "running")
    with pytest.raises(docker.errors.NotFound):
        client.inspect_container("nobody")


def test_counters_grow_until_the_container_stops(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """A container's documents show the CPU it was given, after it stopped zeros; its removal ends the stream."""
    fake_engine.tick = 0.05
    web = fake_engine.run("web", cpu=0.5)
    stream = client.stats(web.id, decode=True)
    first, second = next(stream)["cpu_stats"], next(stream)["cpu_stats"]
    used = second["cpu_usage"]["total_usage"] - first["cpu_usage"]["total_usage"]
    elapsed = (second["system_cpu_usage"] - first["system_cpu_usage"]) / second["online_cpus"]
    assert used == pytest.approx(elapsed * 0.5, abs=2)
    fake_engine.die(web)
    assert any(document["read"].startswith("0001") for document in stream)
    fake_engine.destroy(web)
    assert all(document["read"].startswith("0001") for document in stream)
    assert fake_engine.requests["/containers/{id}/stats"] == 1


def test_events_come_since_a_time_or_from_now_on(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """Events are sent when they happen; `since` adds those of the past."""
    web = fake_engine.run("web")
    past = client.events(since=web.created // 10**9, decode=True)
    assert [next(past)["Action"] for _ in range(2)] == ["create", "start"]
    fake_engine.rename(web, "shop")
    event = next(past)
    assert (event["Action"], event["Actor"]["Attributes"]["oldName"]) == ("rename", "/web")
    fake_engine.destroy(web)
    assert [next(past)["Action"] for _ in range(2)] == ["die", "destroy"]
    fake_engine.events.end()
    assert list(past) == []


def test_scripted_answers_look_as_a_real_engines(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """Errors, truncated and missing answers and a killed engine are to the client what real ones are."""
    fake_engine.script("/containers/json", Answer(500, b'{"message":"no"}', content_type="application/json"), times=1)
    with pytest.raises(docker.errors.APIError):
        client.containers()
    fake_engine.script("/containers/json", Answer(body=b"{", truncated=True), times=1)
    with pytest.raises(requests.exceptions.RequestException):
        client.containers()
    fake_engine.script("/containers/json", Answer(hang_up=True), times=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        client.containers()
    assert client.containers() == []
    fake_engine.stop()
    with socket.socket(socket.AF_UNIX) as connecting, pytest.raises(FileNotFoundError):
        connecting.connect(str(fake_engine.socket))  # docker's client would leak its socket here
    fake_engine.start()
    assert client.containers() == []


def test_frozen_engine_accepts_and_answers_later(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """The kernel accepts connections for a frozen engine, which answers when it continues."""
    fake_engine.freeze()
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(client.containers()))
    asking.start()
    asking.join(0.2)
    assert asking.is_alive()
    fake_engine.thaw()
    asking.join(5)
    assert answers == [[]]


def test_newer_api_versions_differ(fake_engine: FakeEngine) -> None:
    """From API 1.52 on events have no `status`, `id` and `from`, and versions below the oldest are refused."""
    fake_engine.api, fake_engine.oldest_api = "1.52", "1.44"
    with (
        contextlib.closing(docker.APIClient(fake_engine.url, version="1.41")) as old,
        pytest.raises(docker.errors.APIError),
    ):
        old.containers()
    event = fake_engine.event("start", fake_engine.run("web"))
    assert set(event) == {"Type", "Action", "Actor", "scope", "time", "timeNano"}
    assert json.dumps(event)
