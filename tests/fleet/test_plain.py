"""`watch --once` and `watch --json`, as processes on a real broker."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import PATIENCE
from support.daemons.subscriber import Subscriber

from fleet.conftest import Agents, Watch

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def rows(process: RunningAgent) -> dict[str, str]:
    """Return the lines of the table below its header, by the name in them."""
    return {re.sub("^[-!?· ] ", "", line).split()[0]: line for line in process.output[1:]}


def test_once_waits_for_each_container_that_runs(agents: Agents, watch: Watch) -> None:
    """Neither a stopped container nor one whose host's agent is gone is waited for."""
    pi, gone = agents.host("pi"), agents.host("attic")
    agents.send(pi.status(interval=3600), gone.status("stopped", reason="connection lost"))
    agents.send(pi.container("web"), pi.container("db"), gone.container("cache"))
    agents.send(pi.container("job", "stopped", reason="exited", exit_code=137, oom_killed=True))
    process = watch("--once")
    agents.wait_for_subscriber()
    agents.send(pi.usage("web", 1, cpu=150.0))
    assert process.running
    agents.send(pi.usage("db", 1))
    assert process.wait() == 0
    assert process.output[0].split()[:3] == ["NAME", "CPU", "MEMORY"]
    table = rows(process)
    assert list(table) == ["attic", "cache", "pi", "db", "job", "web"]
    assert "agent stopped: connection lost" in table["attic"]
    assert "agent is gone" in table["cache"]
    assert table["pi"].split()[:3] == ["pi", "162%", "2/3"]
    assert "100 MiB" in table["web"]
    assert "exited with 137, out of memory" in table["job"]


def test_once_waits_three_intervals_and_no_longer(agents: Agents, watch: Watch) -> None:
    pi = agents.host()
    agents.send(pi.status(interval=0.5), pi.container("web"))
    process = watch("--once")
    assert process.wait() == 0
    assert rows(process)["web"].startswith("! web")


def test_once_without_anything(agents: Agents, watch: Watch) -> None:
    process = watch("--once")
    assert process.wait() == 0
    assert process.output[0].split()[0] == "NAME"
    assert f"no host below {agents.base}/ at {agents.url}" in process.log


@pytest.mark.parametrize("option", ["--host", "--filter"])
def test_once_if_nothing_is_selected(agents: Agents, watch: Watch, option: str) -> None:
    pi = agents.host()
    agents.send(pi.status(), pi.container("web", "stopped", reason="exited"))
    process = watch("--once", option, "nothing")
    assert process.wait() == 0
    assert "nothing matches --host and --filter; hosts in all: 1" in process.log
    assert "no host" not in process.log


def test_what_is_selected_and_in_which_order(agents: Agents, watch: Watch) -> None:
    pi, nas = agents.host("pi"), agents.host("nas")
    names = {"web-1": 5.0, "web-2": 80.0, "db": 99.0}
    agents.send(pi.status(interval=3600), nas.status(interval=3600), nas.container("web-9"))
    agents.send(*(pi.container(name) for name in names))
    process = watch("--once", "--host", "p*", "--filter", "web-*", "--sort", "cpu")
    agents.wait_for_subscriber()
    agents.send(*(pi.usage(name, 1, cpu=cpu) for name, cpu in names.items()))
    assert process.wait() == 0
    assert list(rows(process)) == ["pi", "web-2", "web-1"]


def test_the_base_may_be_given(agents: Agents, watch: Watch, agent: Callable[..., RunningAgent]) -> None:
    """Of the configuration only the broker and the base of the topics are used."""
    pi = agents.host()
    agents.send(pi.status(), pi.container("job", "stopped", reason="exited"))
    process = agent({"broker": {"url": agents.url}}, "watch", "--once", "--topic-base", agents.base)
    assert process.wait() == 0
    assert "job" in rows(process)
    refused = watch("--once", "--topic-base", "a/#")
    assert refused.wait() == 2
    assert "topics.base" in refused.log


@pytest.mark.parametrize("mode", ["--once", "--json"])
def test_no_broker(watch: Watch, mode: str) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    process = watch(mode, url=url)
    assert process.wait() == 4
    assert process.log.startswith("broker: ")
    assert url in process.log


def test_an_account_that_may_not_connect(own_broker: Callable[..., Mosquitto], watch: Watch) -> None:
    """The password is not shown."""
    closed = own_broker("allow_anonymous false")
    process = watch("--once", url=closed.url.replace("//", "//me:sesame@"))
    assert process.wait() == 4
    assert "sesame" not in process.log
    assert "broker.username" in process.log


def test_json_has_a_line_for_each_message(agents: Agents, watch: Watch) -> None:
    """As they come, duplicates included; whatever is no message of an agent is left out."""
    pi = agents.host()
    agents.send(pi.status(), pi.container("web"))
    process = watch("--json")
    process.wait_for_line('"status"', output=True, count=2)
    usage = pi.usage("web", 1)
    agents.send(pi.counters(), usage, usage, pi.cleared("web"))
    agents.publish("pi/web/usage", b"rubbish")
    agents.publish("pi/check", b"{}")
    agents.publish("pi/web/docker2mqtt", b"{}")
    process.wait_for_line('"payload":null', output=True)
    lines = [json.loads(line) for line in process.output]
    assert [set(line) for line in lines] == 6 * [{"host", "container", "topic", "kind", "payload"}]
    retained = {line["topic"]: (line["host"], line["container"], line["kind"]) for line in lines[:2]}
    base = f"{agents.base}/pi"
    assert retained == {f"{base}/status": ("pi", None, "status"), f"{base}/web/status": ("pi", "web", "status")}
    assert [line["kind"] for line in lines[2:]] == ["agent", "usage", "usage", "status"]
    assert lines[3]["payload"] == json.loads(usage.payload)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0


def test_json_of_some(agents: Agents, watch: Watch) -> None:
    """A host's own messages are those of its selected containers, too."""
    pi, nas = agents.host("pi"), agents.host("nas")
    agents.send(pi.status(), pi.container("web"), pi.container("db"), nas.status(), nas.container("web"))
    process = watch("--json", "--once", "--host", "pi", "--filter", "w*")
    agents.wait_for_subscriber()
    agents.send(pi.usage("db", 1), pi.usage("web", 1))
    assert process.wait() == 0
    seen = [json.loads(line)["topic"].removeprefix(f"{agents.base}/") for line in process.output]
    assert sorted(seen) == ["pi/status", "pi/web/status", "pi/web/usage"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_json_ends_at_a_signal(agents: Agents, watch: Watch, number: int) -> None:
    process = watch("--json")
    agents.wait_for_subscriber()
    process.signal(number)
    assert process.wait() == 0
    assert process.log == ""


def test_json_ends_when_nobody_reads(agents: Agents) -> None:
    """Also while there are no messages."""
    command = [sys.executable, "-m", "agent", "watch", "--json"]
    environment = os.environ | {"USAGE_AGENT_BROKER__URL": agents.url, "USAGE_AGENT_TOPICS__BASE": agents.base}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        agents.wait_for_subscriber()
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == b""


def test_json_goes_on_when_the_broker_is_back(own_broker: Callable[..., Mosquitto], watch: Watch) -> None:
    own = own_broker()
    agents = Agents(own)
    process = watch("--json", "--topic-base", agents.base, url=own.url)
    agents.wait_for_subscriber()
    own.kill()
    process.wait_for_line("connecting again")
    own.start()
    agents.wait_for_subscriber(2)
    agents.close()
    back = Subscriber(own.url, "nothing")
    back.publish(f"{agents.base}/pi/status", b'{"status":"running"}')
    process.wait_for_line('"kind":"status"', output=True)
    assert process.running
    back.close()


HOSTILE = {
    "escape": "\x1b[2J\x1b]0;owned\x07\n",
    "markup": "[red]bold[/red] [link=file:///etc]",
    "bidi": "\u202eevil",
    "long": "x" * 5000,
    "wide": "数据库" * 20,
    "zero": "a\u200b\u200d\ufeffb" * 30,
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=list(HOSTILE))
def test_names_are_text(agents: Agents, watch: Watch, name: str) -> None:
    """No name moves the cursor, turns the line around or breaks it."""
    pi = agents.host()
    named = {"id": "a" * 64, "name": name, "image": name}
    agents.send(pi.status("running"), pi.container("one", container=named, trouble=name, reason=name))
    agents.send(pi.container("two", "stopped", container=named, reason=name))
    process = watch("--once", environment={"COLUMNS": "100"})
    agents.wait_for_subscriber()
    agents.send(pi.usage("one", 1, container=named))
    assert process.wait() == 0
    assert len(process.output) == 4
    text = "".join(process.output)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200d\u202e\ufeff]", text)
    assert all(len(line) <= 100 for line in process.output)


@pytest.mark.parametrize(("variable", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_on_a_terminal_only(agents: Agents, variable: dict[str, str], coloured: bool) -> None:
    pi = agents.host()
    agents.send(pi.status(), pi.container("job", "stopped", reason="exited"))
    environment = os.environ | {"USAGE_AGENT_BROKER__URL": agents.url, "USAGE_AGENT_TOPICS__BASE": agents.base}
    environment.pop("NO_COLOR", None)
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "agent", "watch", "--once"]
    with subprocess.Popen(command, stdout=terminal, stdin=subprocess.DEVNULL, env=environment | variable) as process:
        assert process.wait(PATIENCE) == 0
    os.close(terminal)
    output = b""
    while select.select([controller], [], [], 0)[0]:
        try:
            output += os.read(controller, 65536)
        except OSError:  # the terminal is closed, and all was read
            break
    os.close(controller)
    assert b"exited" in output
    assert (b"\x1b[" in output) is coloured


def test_a_terminal_without_unicode(agents: Agents, watch: Watch) -> None:
    """Bars and sparklines are made of other characters there."""
    pi = agents.host()
    agents.send(pi.status(), pi.container("web"))
    process = watch("--once", environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    agents.wait_for_subscriber()
    agents.send(pi.usage("web", 1, cpu=100.0))
    assert process.wait() == 0
    assert "\\u" not in "".join(process.output)
    assert "#" in rows(process)["web"]
