"""The agent on a terminal: the screen of `usage-agent watch`, and the web page for as long as it is open."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.config import Config
from agent.fleet.selection import Selection
from agent.runtime.cancel import CancelToken
from agent.runtime.signals import ending_signals
from support.first_look.programs import beside, web_page
from support.first_look.surroundings import say


def show_screen(config: Config, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the agent, with `watch` over it, until somebody leaves that or the agent ends. Return the exit code.

    Args:
        config: with the broker that is in use.
        arguments: those of `usage-agent run`.
        environment: that of the agent and of the web page.
    """
    from agent.fleet.watch_screen import run_screen

    ending = CancelToken()
    with tempfile.TemporaryDirectory(prefix="ua-") as scratch, ending_signals(ending):
        log = Path(scratch) / "agent.log"
        with (
            beside(log, environment, "run", *arguments) as agent,
            web_page(Path(scratch) / "web.log", environment, *arguments) as page,
        ):
            threading.Thread(target=_end_with, args=(agent, ending), daemon=True).start()
            _tell_more(page)
            code = run_screen(config, Selection(), ending, note=page or "")
            failed = agent.poll()  # it ends later by itself
        if failed is not None:
            sys.stderr.write(log.read_text(errors="replace"))
            return failed
    _tell_more(None)  # the page has ended, too
    return code


def _end_with(agent: subprocess.Popen[bytes], ending: CancelToken) -> None:
    agent.wait()
    ending.set()


def _tell_more(page: str | None) -> None:
    """Say where else the same can be seen. Before the screen is opened, and when it does not hide the line any more."""
    browser = f"in a browser, while this runs: {page}; " if page else ""
    say(f"{browser}the messages as JSON: scripts/run --raw")
