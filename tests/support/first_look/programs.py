"""The agent's commands as programs beside us, with their log in a file."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.daemons.processes import NotReadyError, end_with_parent, wait_until
from support.first_look.surroundings import say

PAGE_SECONDS = 30.0  # for the page to be served; then the screen is opened without it
END_SECONDS = 20.0  # more than a program takes that ends in order


def agent_command(*arguments: str) -> list[str]:
    """Return the command line of the agent that is installed with us. It ends in order when we die."""
    return end_with_parent([sys.executable, "-m", "agent", *arguments], "TERM")


@contextlib.contextmanager
def beside(log: Path, environment: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of the agent's commands while the block runs. What it prints goes to the file `log`."""
    with log.open("wb") as output:
        program = subprocess.Popen(
            agent_command(*arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


@contextlib.contextmanager
def web_page(log: Path, environment: Mapping[str, str], *arguments: str) -> Iterator[str | None]:
    """Serve the web page while the block runs. Yields its address; None if it cannot be served, and says why."""
    told = {"USAGE_AGENT_AGENT__LOG_LEVEL": "info", "USAGE_AGENT_AGENT__LOG_FORMAT": "text"}
    with beside(log, {**environment, **told}, "web", *arguments) as server:

        def address() -> str | None:
            found = re.search(r"the page is at (\S+)", log.read_text(errors="replace"))
            return found[1] if found else None

        with contextlib.suppress(NotReadyError):
            wait_until(lambda: address() or server.poll() is not None, PAGE_SECONDS, "the page is not served")
        if address() is None:
            say(" ".join(["no web page:", *log.read_text(errors="replace").splitlines()[-1:]]))
        yield address()
