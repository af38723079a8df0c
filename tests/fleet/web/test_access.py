"""Who may see the page."""

from base64 import b64encode

import pytest

from agent.config import Secret
from agent.fleet.web.access import Access

PASSWORD = "corréct: horse"
HOST = {"host": "127.0.0.1:8642"}


def basic(credentials: str | bytes) -> dict[str, str]:
    """Return the headers of a request with these credentials."""
    raw = credentials.encode() if isinstance(credentials, str) else credentials
    return HOST | {"authorization": f"Basic {b64encode(raw).decode()}"}


def status(access: Access, headers: dict[str, str], method: str = "GET", path: str = "/") -> int | None:
    """Return the status of the refusal, or None."""
    refusal = access.refusal(method, path, headers)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8642", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8642", "127.9.9.9:80"]
)
def test_a_page_on_loopback_answers_to_its_names(host: str) -> None:
    """With any port: it may be forwarded, as by ssh -L."""
    assert status(Access("127.0.0.1", None), {"host": host}) is None
    assert status(Access("::1", None), {"host": host}) is None


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", "::1",
     "[::1].evil", "localhost:8642:1", "192.168.0.1"],
)  # fmt: skip
def test_a_page_on_loopback_answers_to_no_other_name(host: str) -> None:
    """A site whose name points at 127.0.0.1 would be allowed to read it (DNS rebinding)."""
    assert status(Access("127.0.0.1", None), {"host": host}) == 421
    assert status(Access("127.0.0.1", None), {}) == 421


def test_a_page_with_a_password_answers_to_any_name() -> None:
    """As behind a reverse proxy: a browser sends the password only to the name for which it was given."""
    assert status(Access("127.0.0.1", Secret(PASSWORD)), basic(f"me:{PASSWORD}") | {"host": "page.example"}) is None
    assert status(Access("0.0.0.0", None), {"host": "server.example"}) is None


@pytest.mark.parametrize("user", ["", "me", "üser"])
def test_the_password_opens_the_page_for_any_user_name(user: str) -> None:
    """A colon belongs to the password (RFC 7617, section 2)."""
    assert status(Access("0.0.0.0", Secret(PASSWORD)), basic(f"{user}:{PASSWORD}")) is None


@pytest.mark.parametrize(
    "headers",
    [
        HOST,
        basic("me:wrong"),
        basic(f"me:{PASSWORD} "),
        basic("me:"),
        basic(PASSWORD.partition(":")[0]),
        basic(b"me:\xff\xfe"),
        HOST | {"authorization": f"Bearer {PASSWORD}"},
        HOST | {"authorization": "Basic"},
        HOST | {"authorization": "Basic !"},
        HOST | {"authorization": "Basic \N{SNOWMAN}"},
    ],
)
def test_nothing_else_opens_it(headers: dict[str, str]) -> None:
    """The refusal says how to answer, and nothing of the password."""
    refusal = Access("0.0.0.0", Secret(PASSWORD)).refusal("GET", "/", headers)
    assert refusal is not None
    assert refusal.status == 401
    assert refusal.headers == {"WWW-Authenticate": 'Basic realm="usage-agent", charset="UTF-8"'}
    assert PASSWORD not in repr(refusal)


def test_health_takes_no_password() -> None:
    """So that it can be asked by who need not see the page."""
    assert status(Access("0.0.0.0", Secret(PASSWORD)), HOST, path="/healthz") is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "FOO"])
def test_nothing_can_be_changed(method: str) -> None:
    """Whoever asks, and whatever for."""
    for path in ("/", "/healthz", "/api/containers", "/nothing"):
        refusal = Access("0.0.0.0", Secret(PASSWORD)).refusal(method, path, HOST)
        assert refusal is not None
        assert (refusal.status, refusal.headers) == (405, {"Allow": "GET, HEAD"})


def test_pages_of_other_sites_may_link_to_it_and_no_more() -> None:
    """They could take all places of viewers."""
    access = Access("127.0.0.1", None)
    for site in ("cross-site", "same-site"):
        assert status(access, HOST | {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}, path="/events") == 403
        assert status(access, HOST | {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}) is None
    for site in ("same-origin", "none"):
        assert status(access, HOST | {"sec-fetch-site": site, "sec-fetch-mode": "cors"}, path="/events") is None
