"""`usage-agent web` as a process, and a client that says exactly what it is told to."""

import http.client
import re
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from support.browser import chromium
from support.daemons.agent import RunningAgent
from support.daemons.processes import PATIENCE, wait_until

from fleet.conftest import Agents

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from fleet.web.browsing import OpenTab

PASSWORD = "s3cret of the page"


@dataclass
class Answer:
    """An HTTP answer that was read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


class Page:
    """A running `usage-agent web`.

    Attributes:
        process: the command.
        url: of the page.
    """

    def __init__(self, process: RunningAgent) -> None:
        self.process = process
        line = process.wait_for_line("the page is at http://")[0]
        self.url = line.rpartition(" ")[2]
        match = re.fullmatch(r"http://(.*):(\d+)/", self.url)
        assert match is not None
        self.host, self.port = match[1].strip("[]"), int(match[2])

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is not made yet."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def request(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request and return the answer. A header "Host" replaces the usual one."""
        headers = dict(headers or {})
        connection = self.connect()
        try:
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def stream(self, headers: Mapping[str, str] | None = None) -> "Stream":
        """Return a new viewer's stream."""
        return Stream(self.connect(), headers or {})

    def open_socket(self, receive_bytes: int | None = None) -> socket.socket:
        """Return a connection on which nothing was sent yet."""
        raw = socket.socket()
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", self.port))
        return raw

    def wait_for(self, condition: Callable[[Any], bool]) -> Any:
        """Wait until the API's document meets a condition, and return it."""
        found: list[Any] = []

        def look() -> bool:
            found[:] = [self.request("/api/containers").json]
            return condition(found[0])

        wait_until(look, PATIENCE, "the document is not as wanted")
        return found[0]


class Stream:
    """A viewer. `status` is the answer's; events are read one by one."""

    def __init__(self, connection: http.client.HTTPConnection, headers: Mapping[str, str]) -> None:
        self._connection = connection
        connection.request("GET", "/events", headers=dict(headers))
        self._response = connection.getresponse()
        self.status = self._response.status
        self.headers = self._response.headers

    def event(self) -> tuple[str, Any]:
        """Return name and data of the next event."""
        lines = [self._response.readline().decode().rstrip("\n") for _ in range(3)]
        assert lines[0].startswith("event: "), lines
        assert lines[2] == ""
        return lines[0].removeprefix("event: "), orjson.loads(lines[1].removeprefix("data: "))

    def wait_for(self, condition: Callable[[str, Any], bool]) -> Any:
        """Read events until one meets a condition, and return its data."""
        for _ in range(60):  # one a second
            name, data = self.event()
            if condition(name, data):
                return data
        raise AssertionError("no event was as wanted")

    def at_end(self) -> bool:
        """Return whether the server has ended the stream; waits for that, or for an event."""
        return self._response.readline() == b""

    def close(self) -> None:
        """Stop viewing."""
        self._response.close()
        self._connection.close()


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Yield a Chromium that all tests share."""
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser: "Browser") -> Iterator["OpenTab"]:
    """Yield a function that opens tabs: `tab(page().url)`."""
    from fleet.web.browsing import opened_tabs  # where Playwright is not installed, these tests are skipped

    with opened_tabs(browser) as opened:
        yield opened


@pytest.fixture
def page(agent: Callable[..., RunningAgent], agents: Agents) -> Callable[..., Page]:
    """Return a function that starts the page on any free port: `page(password_file="…")`."""

    def start(url: str | None = None, of: Agents = agents, **web: object) -> Page:
        return Page(agent(page_config(of, url, **web), "web"))

    return start


def page_config(agents: Agents, url: str | None = None, **web: object) -> dict[str, dict[str, Any]]:
    """Return a configuration for the page."""
    return {
        "broker": {"url": url or agents.url},
        "topics": {"base": agents.base},
        "web": {"listen": "127.0.0.1:0"} | web,
    }


def authorization(password: str = PASSWORD) -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": f"Basic {b64encode(f'me:{password}'.encode()).decode()}"}


def password_file(directory: Path, content: str = PASSWORD) -> str:
    """Write a file that only its owner can read."""
    path = directory / "page-password"
    path.write_text(content)
    path.chmod(0o600)
    return str(path)
