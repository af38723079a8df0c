"""`scripts/run` as somebody sees it who tries the agent for the first time."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.network import Network
from support.daemons.processes import PATIENCE, alive, end_with_parent, wait_until
from support.daemons.subscriber import retained
from support.fakes.engine import FakeEngine
from support.terminal import Terminal

ROOT = Path(__file__).parents[2]
LOOK = [sys.executable, "-m", "support.first_look"]
CTRL_C = "\x03"


@pytest.fixture
def environment(short_path: Path) -> dict[str, str]:
    """Return the environment of somebody who has configured nothing."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("USAGE_AGENT_", "DOCKER"))}
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return inherited | {"PYTHONPATH": places, "USAGE_AGENT_AGENT__HOST": "pi4", "TMPDIR": str(short_path)}


@pytest.fixture
def look(engine: PrivateEngine, environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Yield a function that takes a first look on a terminal. There is an engine, and a container."""
    engine.run("sleep", "1000", name="web")
    environment |= {"USAGE_AGENT_ENGINE__URL": engine.url, "LC_ALL": "C.UTF-8"}
    made: list[Terminal] = []

    def start(*arguments: str, inside: Sequence[str], **settings: str) -> Terminal:
        made.append(Terminal([*inside, *LOOK, *arguments], environment | settings, columns=100, rows=30))
        return made[-1]

    yield start
    for one in made:
        one.close()


def ask(inside: Sequence[str], url: str) -> str:
    """Return what is served at an address."""
    fetch = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"
    done = subprocess.run([*inside, sys.executable, "-c", fetch, url], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def started_by(terminal: Terminal) -> set[int]:
    """Return the processes that the terminal's has started."""
    found = {terminal.process.pid}
    while True:
        stats = [path.read_text().rpartition(")") for path in Path("/proc").glob("[0-9]*/stat")]
        children = {int(head.split()[0]) for head, _, rest in stats if int(rest.split()[1]) in found}
        if children <= found:
            return found
        found |= children


def look_and_leave(terminal: Terminal, inside: Sequence[str], address: str, broker: str, key: str) -> None:
    """See that all is there, press a key, and see that nothing is left."""
    terminal.wait_for("↑↓ move")
    terminal.wait_for("  web ")
    assert f"1 host, 1 running · {broker} · http://{address}/" in terminal.lines[0]
    (web,) = json.loads(ask(inside, f"http://{address}/api/containers"))["containers"]
    assert (web["host"], web["state"] in ("running", "waiting")) == ("pi4", True)
    started = started_by(terminal)
    assert len(started) >= 3  # we, the agent and the page's server
    terminal.press(key)
    assert terminal.wait() == 0
    page = f"in a browser, while this runs: http://{address}/; ".encode()
    lines = b"the messages as JSON: scripts/run --raw"
    opened, closed = terminal.output.index(b"\x1b[?1049h"), terminal.output.index(b"\x1b[?1049l")
    assert page + lines in terminal.output[:opened]
    assert lines in terminal.output[closed:]
    assert page not in terminal.output[closed:]  # it has ended, too
    wait_until(lambda: not any(map(alive, started)), PATIENCE, "something is left running")


def test_screen_without_a_broker(look: Callable[..., Terminal], network: Network) -> None:
    """On a terminal `watch` is opened, over a broker of ours; a line says where the page is and how to see JSON."""
    terminal = look(inside=network.at_agent)
    look_and_leave(terminal, network.at_agent, "127.0.0.1:8642", "mqtt://127.0.0.1:1883", "q")


def test_screen_with_a_broker_that_runs(look: Callable[..., Terminal], own_broker: Callable[[], Mosquitto]) -> None:
    """The same over a broker that is there, which goes on afterwards."""
    broker, address = own_broker(), f"127.0.0.1:{free_port()}"
    settings = {"USAGE_AGENT_BROKER__URL": broker.url, "USAGE_AGENT_WEB__LISTEN": address}
    look_and_leave(look(inside=[], **settings), [], address, broker.url, CTRL_C)
    assert json.loads(retained(broker.url)["containers/pi4/status"])["reason"] == "exit"


def test_raw_on_a_terminal(look: Callable[..., Terminal], network: Network) -> None:
    """With --raw each message is a line, which is not cut, and begins with topic and CPU."""
    terminal = look("--raw", inside=network.at_agent)
    usage = re.compile(rb'^containers/pi4/web/usage (\{"cpu":\{"percent":.*\})\r$', re.MULTILINE)
    wait_until(lambda: usage.search(terminal.output), PATIENCE, "no usage is shown")
    found = usage.search(terminal.output)
    assert found is not None
    assert json.loads(found[1])["seq"] == 1
    started = started_by(terminal)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.wait() == 0
    assert b'"reason":"agent exit"' in terminal.output
    wait_until(lambda: not any(map(alive, started)), PATIENCE, "something is left running")


def test_help_does_nothing_but_help(tmp_path: Path) -> None:
    """`scripts/run --help` neither makes an environment nor installs anything, and needs no root."""
    environment = {"PATH": os.environ["PATH"], "VENV": str(tmp_path / "venv")}
    done = subprocess.run([ROOT / "scripts/run", "--once", "--help"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (0, "", [])
    assert "--raw" in done.stdout


@pytest.mark.slow
def test_first_usage_is_shown(network: Network, fake_engine: FakeEngine, environment: dict[str, str]) -> None:
    """Into a pipe: where there is no broker one is started, and the first usage there is is shown, in full."""
    fake_engine.run("web")
    environment["USAGE_AGENT_ENGINE__URL"] = fake_engine.url
    command = [*network.at_agent, *end_with_parent(LOOK, "TERM")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as looking:
        assert looking.stdout is not None
        try:
            usage = next((line for line in looking.stdout if "/usage " in line), "")
        finally:
            looking.send_signal(signal.SIGTERM)
            rest = looking.stdout.read()
    topic, _, payload = usage.partition(" ")
    assert (topic, json.loads(payload)["seq"]) == ("containers/pi4/web/usage", 1)
    assert '"reason":"exit"' in rest


@pytest.mark.slow
def test_reader_that_has_read_enough(network: Network, fake_engine: FakeEngine, environment: dict[str, str]) -> None:
    """Into `head`: when nobody reads any more all is ended, without a complaint and with exit code 0."""
    fake_engine.run("web")
    environment["USAGE_AGENT_ENGINE__URL"] = fake_engine.url
    command = [*network.at_agent, *end_with_parent(LOOK, "TERM")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as looking:
        assert looking.stdout is not None
        assert looking.stderr is not None
        assert looking.stdout.readline().startswith("containers/pi4/")
        looking.stdout.close()
        said = looking.stderr.read()
    assert looking.returncode == 0
    assert "BrokenPipe" not in said
