"""The fake engine is honest: the real client finds in it what it finds in a real one."""

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


def test_it_introduces_itself_lists_and_describes(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """Version, list and inspect answer as an engine does, and an absent container is a 404."""
    web = fake_engine.run("web", labels={"a": "b"})
    fake_engine.create("idle")
    assert client.api_version == "1.41"
    assert [row["Names"] for row in client.containers()] == [["/web"]]
    assert {row["State"] for row in client.containers(all=True)} == {"running", "created"}
    state = client.inspect_container(web.id)["State"]
    assert (state["Running"], state["Status"]) == (True, "running")
    with pytest.raises(docker.errors.NotFound):
        client.inspect_container("nobody")


def test_counters_move_and_end_in_zeros(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """A stream's documents use CPU as the container was told to; a stopped one's are zeros; removal ends the stream."""
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


def test_events_come_from_now_and_from_then(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """Events are sent as they happen; `since` brings the past ones."""
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


def test_it_misbehaves_as_told(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """Errors, rubbish, short answers, silence and a killed engine look to the client as the real ones do."""
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
    with socket.socket(socket.AF_UNIX) as knocking, pytest.raises(FileNotFoundError):
        knocking.connect(str(fake_engine.socket))  # docker's client would leak its socket here
    fake_engine.start()
    assert client.containers() == []


def test_frozen_it_accepts_and_says_nothing(fake_engine: FakeEngine, client: docker.APIClient) -> None:
    """A frozen engine's kernel accepts; what was asked meanwhile is answered once it goes on."""
    fake_engine.freeze()
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(client.containers()))
    asking.start()
    asking.join(0.2)
    assert asking.is_alive()
    fake_engine.thaw()
    asking.join(5)
    assert answers == [[]]


def test_newer_engines_speak_otherwise(fake_engine: FakeEngine) -> None:
    """From API 1.52 on, events have no `status`, `id` and `from`; an API version that is too old is refused."""
    fake_engine.api, fake_engine.oldest_api = "1.52", "1.44"
    with (
        contextlib.closing(docker.APIClient(fake_engine.url, version="1.41")) as old,
        pytest.raises(docker.errors.APIError),
    ):
        old.containers()
    event = fake_engine.event("start", fake_engine.run("web"))
    assert set(event) == {"Type", "Action", "Actor", "scope", "time", "timeNano"}
    assert json.dumps(event)
