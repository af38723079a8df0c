"""Agent and broker end, hang and come back beneath the screen of `watch`."""

import re
from collections.abc import Callable

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.fakes.engine import FakeEngine
from support.terminal import DOWN, OpenTerminal, Terminal

pytestmark = [pytest.mark.broker, pytest.mark.slow]

KEEPALIVE = {"keepalive": 2}


def wait_until_well(screen: Terminal) -> None:
    """Wait until the screen shows what runs, what has ended, and the cursor where it was put."""

    def well() -> bool:
        lines = "\n".join(screen.lines)
        wanted = (r"\A1 host, 1 running · mqtt://", r"^  one +\d+\.\d%", "^- job .*exited with 3", "sort: cpu")
        on_one = "  one " in screen.reversed_lines()[0]
        return on_one and all(re.search(pattern, lines, re.M) for pattern in wanted)

    screen.wait_until(well)


def test_what_hangs_or_is_killed_is_told(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: Callable[..., RunningAgent],
    terminal: OpenTerminal,
) -> None:
    """In words; what was sorted and chosen stays; and all of it is back by itself."""
    broker = own_broker()
    fake_engine.run("one")
    job = fake_engine.run("job")
    running = start_agent(fake_engine, broker, broker=KEEPALIVE)
    screen = terminal("--topic-base", "containers", url=broker.url, environment={"USAGE_AGENT_BROKER__KEEPALIVE": "2"})
    screen.wait_for("  job")
    fake_engine.die(job, exit_code=3)
    screen.wait_for("exited with 3")
    screen.press("s")
    screen.press(DOWN)
    wait_until_well(screen)
    running.freeze()
    screen.wait_for("late")
    screen.wait_for("unknown: its host's agent is gone")
    screen.wait_for("agent stopped: connection lost")
    running.thaw()
    wait_until_well(screen)
    running.kill()
    screen.wait_for("unknown: its host's agent is gone")
    running = start_agent(fake_engine, broker, broker=KEEPALIVE)
    wait_until_well(screen)
    for harm, mend in ((broker.freeze, broker.thaw), (broker.kill, broker.start)):
        harm()
        screen.wait_for("not connected: ")
        screen.wait_for("exited with 3")
        mend()
        wait_until_well(screen)
