"""The screen of `watch`: what somebody sees on a terminal, with messages of a real broker."""

import os
import re
import signal
from pathlib import Path

import pytest
from support.daemons.processes import wait_until
from support.terminal import DOWN, END, ENTER, ESCAPE, PAGE_DOWN, PAGE_UP, SECONDS, UP, OpenTerminal, Terminal

from fleet.conftest import Agents

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def names(terminal: Terminal) -> list[str]:
    """Return the first word of each row."""
    rows = [line for line in terminal.lines[2:-1] if line]
    return [re.sub("^[-!?· ] ", "", line).split()[0] for line in rows]


def reversed_rows(terminal: Terminal) -> list[str]:
    """Return what is under the cursor."""
    return terminal.reversed_lines()[:-1]  # the last one is the line of keys


def send_some(agents: Agents) -> None:
    """Send messages of two hosts, with one container of each kind."""
    pi, nas = agents.host("pi"), agents.host("nas")
    agents.send(pi.status(interval=3600), nas.status("stopped", reason="connection lost"), nas.container("files"))
    agents.send(*(pi.container(name) for name in ("web", "db")))
    agents.send(pi.container("sick", health="unhealthy"))
    agents.send(pi.container("job", "stopped", reason="exited", exit_code=137, oom_killed=True))


def send_usages(agents: Agents) -> None:
    pi = agents.host("pi")
    agents.send(pi.usage("web", 1, cpu=5.0), pi.usage("db", 1, cpu=390.0), pi.usage("sick", 1, cpu=50.0))
    agents.send(pi.usage("web", 4, cpu=7.0, interval=3600.0))


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12), (132, 40)])
def test_hosts_and_their_containers(agents: Agents, terminal: OpenTerminal, columns: int, rows: int) -> None:
    """In any size: a row of sums for each host, and its containers below it."""
    send_some(agents)
    screen = terminal(columns=columns, rows=rows)
    send_usages(agents)
    screen.wait_for("447%")  # the sum
    assert names(screen) == ["nas", "files", "pi", "db", "job", "sick", "web"]
    assert "agent stopped" in screen.line("nas")
    assert "unknown" in screen.line("files")
    assert "exited with 137" in screen.line("job")
    assert "unhealthy" in screen.line("sick")
    assert "2 dropped" in screen.line("  web")
    assert "390%" in screen.line("  db")
    assert "q quit" in screen.lines[-1]
    if columns >= 80:
        assert "3/4" in screen.line("pi ")
        assert re.search("100 MiB ━ .* 1.5K +12 +0 2.0M", screen.line("  db"))
    screen.press("q")
    assert screen.wait() == 0


def test_keys(agents: Agents, terminal: OpenTerminal) -> None:
    send_some(agents)
    screen = terminal()
    send_usages(agents)
    screen.wait_for("447%")
    screen.press("s")
    screen.wait_for("sort: cpu")
    wait_until(lambda: names(screen) == ["nas", "files", "pi", "db", "sick", "web", "job"], SECONDS, "by CPU")
    screen.press("h")
    wait_until(lambda: names(screen) == ["nas", "pi"], SECONDS, "hosts only")
    screen.press("h")
    screen.wait_for("  db")
    screen.press("/we")
    wait_until(lambda: names(screen) == ["pi", "web"], SECONDS, "a part of a name")
    screen.press(ENTER)
    screen.wait_for("↑↓ move")
    assert names(screen) == ["pi", "web"]
    screen.press(ESCAPE)
    screen.wait_for("  db")
    screen.press("p")
    screen.wait_for("PAUSED")
    agents.send(agents.host("pi").usage("db", 2, cpu=111.0))
    screen.press("p")
    screen.wait_for("111%")
    screen.wait_until_gone("PAUSED")


def test_one_container_in_full(agents: Agents, terminal: OpenTerminal) -> None:
    """The cursor chooses it; the values go on."""
    send_some(agents)
    screen = terminal()
    send_usages(agents)
    screen.wait_for("447%")
    screen.press(3 * DOWN)
    wait_until(lambda: "  db" in "".join(reversed_rows(screen)), SECONDS, "the cursor is on it")
    screen.press(ENTER)
    screen.wait_for("registry/db:1")
    wait_until(
        lambda: any("CPU  " in line and "390%" in line for line in screen.lines), SECONDS, "its CPU is not there"
    )
    agents.send(agents.host("pi").usage("db", 2, cpu=222.0))
    screen.wait_for("222%")
    screen.press(END)
    screen.wait_for("PIDS")
    screen.press(ESCAPE)
    screen.wait_for("↑↓ move")
    screen.press(DOWN + ENTER)
    screen.wait_for("stopped, exited with 137, out of memory")
    screen.press("q")
    screen.wait_for("↑↓ move")


def test_more_rows_than_the_screen_has(agents: Agents, terminal: OpenTerminal) -> None:
    """Only those in view are drawn, and the cursor stays in view."""
    pi = agents.host("pi")
    agents.send(pi.status(), *(pi.container(f"c{number:03}", "stopped") for number in range(300)))
    agents.send(pi.container("a" * 60, "stopped"))  # so that the lines fill the screen
    screen = terminal("--sort", "name", rows=20)
    screen.wait_for("c014")
    screen.press(2 * PAGE_DOWN)
    screen.wait_for("c030")
    screen.press(END)
    screen.wait_for("c299")
    assert "c299" in "".join(reversed_rows(screen))
    agents.send(pi.container("c299"), pi.usage("c299", 1))
    screen.wait_for("12.5%")
    assert " 7   2h" in screen.line("c299")  # the scrollbar covers nothing
    screen.press(PAGE_UP + UP)
    wait_until(lambda: "c282" in "".join(reversed_rows(screen)), SECONDS, "a screen up, and a row")


def test_the_cursor_stays_on_its_row(agents: Agents, terminal: OpenTerminal) -> None:
    """When rows come before it, what is under the cursor does not change."""
    pi = agents.host("pi")
    agents.send(pi.status(), *(pi.container(f"m{number:02}", "stopped") for number in range(50)))
    screen = terminal(rows=20)
    screen.wait_for("m10")
    screen.press(30 * DOWN)
    wait_until(lambda: "m29" in "".join(reversed_rows(screen)), SECONDS, "the cursor is there")
    line = screen.lines.index(screen.line("m29"))
    agents.send(*(pi.container(f"a{number:02}", "stopped") for number in range(5)))
    screen.press("s" * 5)  # sorts by name again, so that those that came are before it
    screen.press(UP + DOWN)
    wait_until(lambda: "m29" in "".join(reversed_rows(screen)), SECONDS, "the same row")
    assert screen.lines.index(screen.line("m29")) == line


def test_another_size_while_it_runs(agents: Agents, terminal: OpenTerminal) -> None:
    send_some(agents)
    screen = terminal(columns=132)
    screen.wait_for("HEALTH")
    screen.resize(40, 12)
    screen.wait_until_gone("RX/s")
    screen.wait_for("· web")
    assert names(screen)[-1] == "web"
    screen.resize(80, 24)
    screen.wait_for("RX/s")


@pytest.mark.parametrize("no_colour", [True, False])
def test_no_color(agents: Agents, terminal: OpenTerminal, no_colour: bool) -> None:
    """With NO_COLOR there is none at all, and nothing is lost: what is wrong is also said."""
    send_some(agents)
    screen = terminal(environment={"NO_COLOR": "1"} if no_colour else {})
    send_usages(agents)
    screen.wait_for("447%")
    assert bool(screen.colours) is not no_colour


HOSTILE = {
    "escape": "evil\x1b[2J\x1b]0;owned\x07",
    "markup": "[red]evil[/red] [link=x]",
    "broken markup": "[/evil] [[ [",
    "bidi": "\u202eevil\u2066",
    "long": "evil" * 5000,
    "wide": "evil数据库" * 20,
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=list(HOSTILE))
def test_names_are_text(agents: Agents, terminal: OpenTerminal, name: str) -> None:
    """In the table, in full and as a reason: no name is markup or moves anything."""
    pi = agents.host()
    named = {"id": "a" * 64, "name": name, "image": name}
    agents.send(pi.status(version=name, source=name), pi.container("one", container=named, trouble=name))
    agents.send(pi.container("two", "stopped", container=named, reason=name))
    screen = terminal()
    agents.send(pi.usage("one", 1, container=named, cpu=5.0, pressure={name: 1.0}))
    screen.wait_for("5.0%")
    rows = [line for line in screen.lines if "evil" in line]
    assert len(rows) == 2
    if "markup" in name or "[" in name:
        assert name.replace("\x1b", "\\x1b").replace("\x07", "\\x07")[:10] in rows[0]
    screen.press(DOWN + ENTER)
    screen.wait_for("Esc back")
    screen.wait_for("evil")
    assert b"\x1b]0;owned" not in screen.output
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", screen.output.decode())
    screen.press(ESCAPE)  # alone: with a key that follows at once it would be another key
    screen.wait_for("↑↓ move")
    screen.press(UP + UP + ENTER)
    screen.wait_for("Esc back")
    screen.wait_for("interval")
    screen.press(ESCAPE)
    screen.wait_for("↑↓ move")
    screen.press("q")
    assert screen.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_the_terminal_is_as_before(terminal: OpenTerminal, number: int) -> None:
    screen = terminal()
    screen.process.send_signal(number)
    assert screen.wait() == 0
    assert screen.output.rstrip().endswith(b"\x1b[?25h") or b"\x1b[?1049l" in screen.output


def test_ctrl_c_ends_it(terminal: OpenTerminal) -> None:
    screen = terminal()
    screen.press("\x03")
    assert screen.wait() == 0


def test_without_the_extra(terminal: OpenTerminal, tmp_path: Path) -> None:
    """One line says what to install."""
    (tmp_path / "textual.py").write_text("raise ModuleNotFoundError('No module named textual', name='textual')")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    screen = terminal(until="pip install 'usage-agent[watch]'", columns=200, environment={"PYTHONPATH": paths})
    assert screen.wait() == 2
    assert len([line for line in screen.lines if line]) == 1


def test_no_broker(terminal: OpenTerminal) -> None:
    screen = terminal(url="mqtt://127.0.0.1:1", until="broker: ", columns=200)
    assert screen.wait() == 4
