"""What tests of the page do in the browser."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Locator, expect
from playwright.sync_api import Page as Tab
from support.daemons.processes import PATIENCE, wait_until

PATIENCE_MS = 1000 * PATIENCE  # on a busy machine even the first page may take its time

expect.set_options(timeout=PATIENCE_MS)

OpenTab = Callable[..., Tab]


@contextmanager
def opened_tabs(browser: Browser) -> Iterator[OpenTab]:
    """Yield a function that opens tabs: `tab(url, width=390, scheme="dark")`. What goes wrong in them fails the test.

    That is: an exception, an error on the console, such as a violation of the content security policy, or a request
    to another host.
    """
    contexts = []
    wrong: list[str] = []

    def tab(url: str, width: int = 1440, height: int = 900, scheme: str = "light", may_fail: bool = False) -> Tab:
        size = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce"))  # type: ignore[arg-type]
        made = contexts[-1].new_page()
        made.set_default_timeout(PATIENCE_MS)
        made.on("pageerror", lambda error: wrong.append(str(error)))
        if not may_fail:  # a server that is away is an error on the console, too
            made.on("console", lambda message: wrong.append(message.text) if _is_mistake(message) else None)
        origin = url.partition("#")[0]
        made.on("request", lambda request: None if request.url.startswith(origin) else wrong.append(request.url))
        made.goto(url)
        return made

    try:
        yield tab
    finally:
        for context in contexts:
            context.close()
    assert not wrong, wrong


def _is_mistake(message: ConsoleMessage) -> bool:
    """Return whether a message on the console shows a mistake of the page.

    A connection that ends is none: the server ends one on which nothing is read for ten seconds, as on a busy machine,
    and the page makes another one.
    """
    return message.type == "error" and not message.text.startswith("Failed to load resource: net::")


def row(tab: Tab, name: str) -> Locator:
    """Return the row of a container, by the accessible name of its link."""
    link = tab.get_by_role("link", name=name, exact=True)
    return tab.get_by_role("table", name="Containers").get_by_role("row").filter(has=link)


def names(tab: Tab) -> list[str]:
    """Return the containers' names, from top to bottom."""
    links = tab.locator("#body .link")
    found = links.evaluate_all("links => links.map(link => [link.getBoundingClientRect().top, link.textContent])")
    return [name for _, name in sorted(found)]


def wait_for_names(tab: Tab, wanted: list[str]) -> None:
    """Wait until these are the names: rows are drawn a moment after the key that changes them."""
    wait_until(lambda: names(tab) == wanted, PATIENCE, f"the rows are not {wanted}")
