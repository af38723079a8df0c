"""Connecting: where the engine is, which API version is spoken, and the calls that are made from then on."""

import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.engine_client import connect_patiently, connected, unconnected
from support.fakes.engine import FakeEngine
from support.fakes.http import Answer

from agent.engine.errors import EngineError, EngineRefusedError, EngineUnreachableError
from agent.runtime.cancel import CancelToken


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "unix:///nowhere/docker.sock",
            "there is no socket: is Docker installed, .*Rootless Docker has unix://.*Podman unix://",
        ),
        ("tcp://127.0.0.1:1", "reached: Connection refused: is the engine running there?"),
        ("unix:///" + "long/" * 40, "AF_UNIX path too long"),
        ("ftp://host", "engine.url ftp://host"),
        ("tcp://host:port", "engine.url tcp://host:port"),
        ("tcp://no-such-host.invalid:2375", "Name or service not known|name resolution"),
    ],
)
def test_wrong_address_is_an_error_with_its_cause(url: str, message: str) -> None:
    """The message has the address and the cause, and not the wrappers of the libraries."""
    with pytest.raises(EngineUnreachableError, match=message) as raised:
        unconnected(url).connect()
    assert url in str(raised.value)
    assert len(str(raised.value)) < 400 + len(url)
    assert "Errno" not in str(raised.value)


def test_missing_certificate_is_named(tmp_path: Path) -> None:
    """A certificate that does not exist is an error before anything is sent."""
    ca = tmp_path / "ca.pem"
    with pytest.raises(EngineUnreachableError, match="CA certificate"):
        unconnected("tcp://127.0.0.1:1", tls=(str(ca), "", "")).connect()


@pytest.mark.parametrize("content", ['{"auths": {"registry": {"auth": ""}}}', '{"proxies": null}', "[]"])
def test_the_configuration_of_the_docker_command_is_not_read(
    fake_engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """It has registries and proxies for builds. The docker command accepts contents at which docker-py fails."""
    file = tmp_path / ".docker" / "config.json"
    file.parent.mkdir()
    file.write_text(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert unconnected(fake_engine.url).connect()["version"] == fake_engine.version


def test_ssh_without_paramiko_names_the_extra() -> None:
    """ssh:// needs an extra, and the error names it."""
    code = """if True:
        import sys
        sys.modules["paramiko"] = None  # as if it were not installed
        from agent.config import EngineSettings
        from agent.engine.client import EngineClient
        EngineClient(EngineSettings(url="ssh://host")).connect()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "EngineUnreachableError: ssh://host needs an extra: pip install 'usage-agent[ssh]'" in done.stderr


@pytest.mark.parametrize(
    ("api", "oldest", "spoken", "one_shot"),
    [
        ("1.24", "1.12", "1.24", False),
        ("1.40", "1.12", "1.40", False),
        ("1.41", "1.12", "1.41", True),
        ("1.52", "1.44", "1.52", True),
        ("1.77", "1.44", "1.52", True),
    ],
)
def test_newest_common_version_is_spoken(
    fake_engine: FakeEngine, api: str, oldest: str, spoken: str, one_shot: bool
) -> None:
    """Every path has a version that the engine accepts and that was tested."""
    fake_engine.api, fake_engine.oldest_api = api, oldest
    container = fake_engine.run("web")
    engine = unconnected(fake_engine.url)
    assert engine.connect() == {"version": fake_engine.version, "api": spoken, "cgroup": "1"}
    assert engine.supports_one_shot is one_shot
    assert engine.inspect(container.id)["Id"] == container.id


@pytest.mark.parametrize(("api", "oldest"), [("1.23", "1.12"), ("1.99", "1.60")])
def test_engine_without_a_common_version_is_refused(fake_engine: FakeEngine, api: str, oldest: str) -> None:
    """With an engine that is too old or too new nothing is tried."""
    fake_engine.api, fake_engine.oldest_api = api, oldest
    with pytest.raises(EngineError, match=r"speaks API 1\.\d\d at (most|least)"):
        connected(fake_engine.url)
    assert dict(fake_engine.requests) == {"/version": 1}


def test_version_is_negotiated_again_after_an_upgrade(fake_engine: FakeEngine) -> None:
    """An engine that comes back as another version needs connect() again, and is understood then."""
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    fake_engine.stop()
    with pytest.raises(EngineUnreachableError):
        engine.inspect(container.id)
    fake_engine.api, fake_engine.oldest_api, fake_engine.version = "1.52", "1.44", "29.0.0"
    fake_engine.start()
    with pytest.raises(EngineRefusedError, match=r"version 1\.41 is not supported"):
        engine.inspect(container.id)
    assert engine.connect() == {"version": "29.0.0", "api": "1.52", "cgroup": "1"}
    assert engine.inspect(container.id)["Id"] == container.id


@pytest.mark.parametrize(
    "answer",
    [Answer(403), Answer(500), Answer(body=b"<html>"), Answer(hang_up=True)],
    ids=["403", "500", "page", "hangs up"],
)
def test_connect_needs_no_info(fake_engine: FakeEngine, answer: Answer) -> None:
    """A socket proxy need not allow /info: then the cgroup version is not known, and nothing else is missing."""
    fake_engine.script("/info", answer)
    assert unconnected(fake_engine.url).connect() == {"version": fake_engine.version, "api": "1.41"}


def test_connect_does_not_wait_for_info(fake_engine: FakeEngine) -> None:
    """An engine may hang in /info: after the timeout it is connected without."""
    fake_engine.script("/info", Answer(silent=True))
    info = connect_patiently(unconnected(fake_engine.url, timeout=0.2))
    assert info == {"version": fake_engine.version, "api": "1.41"}


def test_only_seven_calls_are_made(fake_engine: FakeEngine) -> None:
    """A socket proxy that allows these seven allows all that the agent needs."""
    container = fake_engine.run("web")
    engine = connected(fake_engine.url)
    engine.ping()
    engine.list_containers()
    engine.inspect(container.id)
    engine.stats_once(container.id, CancelToken())
    with (
        closing(engine.stats_stream(container.id, CancelToken())) as stream,
        closing(engine.events(None, CancelToken())) as events,
    ):
        next(stream)
        next(events)
    assert sorted(fake_engine.requests) == [
        "/_ping",
        "/containers/json",
        "/containers/{id}/json",
        "/containers/{id}/stats",
        "/events",
        "/info",
        "/version",
    ]


def test_counters_are_exact_with_many_threads(fake_engine: FakeEngine) -> None:
    """No count is lost between threads."""
    engine = connected(fake_engine.url)
    before = engine.counters()

    def work() -> None:
        for _ in range(50):
            engine.count_retry()
            engine.count_error()
            engine.ping()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.counters() == {"requests": before["requests"] + 400, "errors": 400, "retries": 400}
