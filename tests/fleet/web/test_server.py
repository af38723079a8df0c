"""The page's server, asked over HTTP."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import PATIENCE, wait_until

from fleet.conftest import Agents
from fleet.web.conftest import PASSWORD, Page, authorization, page_config, password_file

StartPage = Callable[..., Page]
PATHS = ("/", "/main.js", "/style.css", "/api/containers", "/api/history?host=h&container=c", "/healthz", "/nothing")


def test_every_answer_lets_the_browser_load_from_here_alone(page: StartPage) -> None:
    """Also one that refuses: whatever it is, nothing in it is run or framed."""
    shown = page()
    answers = [shown.request(path) for path in PATHS]
    answers += [shown.request("/", "POST"), shown.request("/", headers={"Host": "evil.example"})]
    answers.append(shown.request("/events", "HEAD"))
    assert {answer.status for answer in answers} == {200, 404, 405, 421}
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_page_names_no_other_host_and_has_no_inline_script_or_style() -> None:
    """So that the policy forbids nothing that it needs."""
    directory = Path(__file__).parents[3] / "agent/fleet/web/page"
    for path in sorted(directory.iterdir()):
        text = path.read_text()
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]+[^\s\"')]*", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    html = (directory / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", html)


def test_only_get_and_head_are_answered(page: StartPage) -> None:
    """Nothing that is served can change anything."""
    shown = page()
    for path in PATHS:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = shown.request(path, method)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert shown.request(path, "HEAD").status == shown.request(path).status
        assert shown.request(path, "HEAD").body == b""


def test_a_page_on_loopback_refuses_the_names_of_other_hosts(page: StartPage) -> None:
    """A site may point its name at 127.0.0.1."""
    shown = page()
    for path in (*PATHS, "/events"):
        assert shown.request(path, headers={"Host": "evil.example"}).status == 421
    for host in ("localhost:1", "127.0.0.1", f"[::1]:{shown.port}"):
        assert shown.request("/", headers={"Host": host}).status == 200


def test_a_password_protects_the_page_and_its_data(page: StartPage, short_path: Path) -> None:
    """All of it but `/healthz`; and the password is shown nowhere."""
    shown = page(listen="0.0.0.0:0", password_file=password_file(short_path, f"{PASSWORD}\n"))
    asked: list[tuple[str, dict[str, str]]] = [(path, {}) for path in (*PATHS, "/events")]
    asked += [("/", authorization("wrong")), ("/events", authorization(""))]
    for path, headers in asked:
        answer = shown.request(path, headers=headers)
        assert answer.status == (200 if path == "/healthz" else 401)
        assert answer.headers.get("www-authenticate", "Basic ").startswith("Basic ")
    assert shown.request("/", headers=authorization()).status == 200
    viewer = shown.stream(authorization())
    assert viewer.event()[0] == "state"
    viewer.close()
    assert shown.process.stop() == 0
    assert PASSWORD not in shown.process.log + "".join(shown.process.output)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_without_a_password_only_loopback_is_served(
    agent: Callable[..., RunningAgent], agents: Agents, page: StartPage, listen: str
) -> None:
    """Unless the configuration says that everybody may see it."""
    refused = agent(page_config(agents, listen=listen), "web")
    assert refused.wait() == 2
    assert "web.password_file" in refused.log
    assert page(listen=listen, anonymous=True).request("/", headers={"Host": "any.example"}).status == 200


@pytest.mark.parametrize("content", [None, "", "\udcff"])
def test_a_password_file_that_cannot_be_used_is_a_mistake(
    agent: Callable[..., RunningAgent], agents: Agents, short_path: Path, content: str | None
) -> None:
    """Rather than a page without a password."""
    path = short_path / "page-password"
    if content is not None:
        path.write_text(content, errors="surrogateescape")
    refused = agent(page_config(agents, password_file=str(path)), "web")
    assert refused.wait() == 2
    assert f"web.password_file: {path} " in refused.log


def test_an_address_that_is_taken_is_named(agent: Callable[..., RunningAgent], agents: Agents, page: StartPage) -> None:
    """The page does not start, and says which key to change."""
    shown = page()
    second = agent(page_config(agents, listen=f"127.0.0.1:{shown.port}"), "web")
    assert second.wait() == 1
    assert f"web.listen: 127.0.0.1:{shown.port}: Address already in use" in second.log


def test_no_broker_at_the_start_ends_the_command(agent: Callable[..., RunningAgent], agents: Agents) -> None:
    """With the exit code of a broker that cannot be used."""
    url = f"mqtt://user:s3cret@127.0.0.1:{free_port()}"
    refused = agent(page_config(agents, url), "web")
    assert refused.wait() == 4
    assert "broker: " in refused.log
    assert "s3cret" not in refused.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked_to_although_somebody_views(page: StartPage, number: int) -> None:
    """Streams would go on for ever."""
    shown = page()
    viewer = shown.stream()
    assert viewer.event()[0] == "state"
    shown.process.signal(number)
    assert shown.process.wait() == 0
    viewer.close()


def test_it_needs_the_extra(agent: Callable[..., RunningAgent], agents: Agents, short_path: Path) -> None:
    """Without it the command says how to install it."""
    for name in ("starlette", "uvicorn"):
        text = f'raise ModuleNotFoundError("No module named {name!r}", name={name!r})'
        (short_path / f"{name}.py").write_text(text)
    refused = agent(page_config(agents), "web", environment={"PYTHONPATH": str(short_path)})
    assert refused.wait() == 2
    assert "pip install 'usage-agent[web]'" in refused.log


def test_the_files_are_cached_until_they_change(page: StartPage) -> None:
    """The browser asks each time, and is told that nothing has changed."""
    shown = page()
    first = shown.request("/main.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    again = shown.request("/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert shown.request("/main.js", headers={"If-None-Match": '"another"'}).body == first.body


@pytest.mark.parametrize(
    "path", ["/../command.py", "/%2e%2e/command.py", "//etc/passwd", "/page/main.js", "/..%2fcommand.py"]
)
def test_no_other_file_is_served(page: StartPage, path: str) -> None:
    """There is no path that leads out of the page."""
    assert page().request(path).status == 404


def test_pages_of_other_sites_cannot_take_the_places_of_viewers(page: StartPage) -> None:
    """Their requests reach a page on loopback, too."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert page().request("/events", headers=headers).status == 403


def test_health_follows_the_broker(page: StartPage, own_broker: Callable[..., Mosquitto]) -> None:
    """`ok`, or why not; and the page is connected again by itself."""
    broker = own_broker()
    shown = page(url=broker.url)
    assert (shown.request("/healthz").status, shown.request("/healthz").body) == (200, b"ok\n")
    broker.kill()
    wait_until(lambda: shown.request("/healthz").status == 503, PATIENCE, "it does not notice")
    assert shown.request("/healthz").body == b"no connection to the broker\n"
    assert shown.request("/api/containers").json["connected"] is False
    shown.process.wait_for_line("no connection to the broker: ")
    broker.start()
    wait_until(lambda: shown.request("/healthz").status == 200, PATIENCE, "it does not connect again")
    shown.process.wait_for_line("connected to mqtt://")
    assert shown.process.log.count("no connection to the broker") == 1


def test_the_api_has_the_messages_as_they_are_on_the_broker(page: StartPage, agents: Agents) -> None:
    """And what to believe of each container."""
    host = agents.host("pi")
    shown = page()
    status, usage = host.container("web"), host.usage("web", 1)
    agents.send(host.status(), status, usage, host.container("old", "stopped", reason="exited", exit_code=137))
    found = shown.wait_for(lambda document: len(document["containers"]) == 2)
    assert [(host["host"], host["running"]) for host in found["hosts"]] == [("pi", True)]
    web, old = found["containers"]
    assert (web["container"], web["state"], web["dropped"]) == ("web", "running", 0)
    assert web["status"] == orjson.loads(status.payload)
    assert web["usage"] == orjson.loads(usage.payload)
    assert (old["state"], old["status"]["exit_code"]) == ("stopped", 137)


def test_a_viewer_is_sent_the_state_and_then_what_changes(page: StartPage, agents: Agents) -> None:
    """A container without news is not sent again; one that was cleared is gone."""
    host = agents.host("pi")
    agents.send(host.status(), host.container("web"), host.container("db"))
    shown = page()
    shown.wait_for(lambda document: len(document["containers"]) == 2)
    viewer = shown.stream()
    name, state = viewer.event()
    assert name == "state"
    assert {row["id"] for row in state["containers"]} == {"web", "db"}
    viewer.wait_for(lambda name, data: name == "update" and not data["containers"])
    agents.send(host.usage("web", 1))
    update = viewer.wait_for(lambda _, data: bool(data["containers"]))
    assert [(row["id"], row["cpu"], row["state"]) for row in update["containers"]] == [("web", 12.5, "running")]
    agents.send(host.cleared("db"))
    assert viewer.wait_for(lambda _, data: bool(data["gone"]))["gone"] == [["pi", "db"]]
    viewer.close()


def test_the_history_of_a_container_is_what_was_measured(page: StartPage, agents: Agents) -> None:
    """Series that were never measured are left out."""
    host = agents.host("pi")
    shown = page()
    agents.send(host.status(), *(host.usage("web", seq, cpu=10.0 * seq) for seq in (1, 2, 3)))
    shown.wait_for(lambda document: [row["usage"]["seq"] for row in document["containers"]] == [3])
    history = shown.request("/api/history?host=pi&container=web").json
    assert history["cpu"] == [10, 20, 30]
    assert [round(time - history["times"][0]) for time in history["times"]] == [0, 10, 20]
    assert "pressure_cpu" not in history
    assert shown.request("/api/history?host=pi&container=none").status == 404
    assert shown.request("/api/history").status == 404


def test_the_brokers_password_does_not_reach_the_browser(page: StartPage, own_broker: Callable[..., Mosquitto]) -> None:
    """Not even when the connection is lost, and the page says why."""
    broker = own_broker()
    shown = page(url=broker.url.replace("mqtt://", "mqtt://me:s3cret@"))
    broker.kill()
    wait_until(lambda: "trouble" in shown.request("/api/containers").json, PATIENCE, "it does not notice")
    assert all(b"s3cret" not in shown.request(path).body for path in PATHS)
    assert "s3cret" not in shown.process.log
