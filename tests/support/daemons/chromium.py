"""A browser without a window, for pictures of pages.

It is driven by its own protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import itertools
import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

from support.daemons.processes import PATIENCE, Daemon, NotReadyError, find, wait_until

ALL_TEXT = """
(() => {
    const texts = [];
    const visit = (node) => {
        if (node.nodeType === Node.TEXT_NODE) texts.push(node.data.trim());
        if (node.shadowRoot) visit(node.shadowRoot);
        if (!["SCRIPT", "STYLE"].includes(node.nodeName)) node.childNodes.forEach(visit);
    };
    visit(document.body);
    return texts.join("\\n");
})()
"""
"""The texts of a page, also in its shadow trees."""


def missing() -> str | None:
    """Return why no browser can be started here, or None."""
    absent = [name for name in ("chromium", "setpriv") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


class Chromium(Daemon):
    """Chromium with one page."""

    name = "chromium"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._page: ClientConnection | None = None
        self._open = ExitStack()
        self._ids = itertools.count(1)

    def command(self) -> list[str]:
        """Return the command line."""
        profile = f"--user-data-dir={self.directory}/profile"
        alone = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
        # Its sandbox refuses root. Without hinting, letters have the same widths on every machine.
        return [
            *("/usr/bin/chromium", "--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"),
            *("--font-render-hinting=none", profile, *alone, "--remote-debugging-port=0", "about:blank"),
        ]

    def ready(self) -> bool:
        """Return whether it listens for commands."""
        return self._port_file.exists() and self._port_file.read_text().count("\n") > 0

    def start(self) -> None:
        """Start it, and connect to its page."""
        super().start()
        port = self._port_file.read_text().split()[0]
        targets = requests.get(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE).json()
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        self._page = self._open.enter_context(connect(address, max_size=None, proxy=None, compression=None))
        self.send("Page.enable")

    def close(self) -> None:
        """End it, and remove its profile."""
        self._open.close()
        super().close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        assert self._page is not None, "the browser was not started"
        number = next(self._ids)
        self._page.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._page.recv(PATIENCE))
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer}"
                result: dict[str, Any] = answer["result"]
                return result

    def show_as(self, width: int, height: int, dark: bool, scale: float = 1) -> None:
        """Set the window's size in CSS pixels, the pixels of a picture for each of them, and the color scheme."""
        mobile = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        features = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        self.send("Emulation.setEmulatedMedia", features=[{"name": k, "value": v} for k, v in features.items()])

    def run_before_pages(self, script: str) -> None:
        """Run a script in every page before its own scripts."""
        self.send("Page.addScriptToEvaluateOnNewDocument", source=script)

    def go(self, url: str, *texts: str) -> None:
        """Open a page, and wait until all the texts are on it."""
        self.send("Page.navigate", url=url)
        try:
            wait_until(lambda: set(texts) <= set(self.texts()), PATIENCE, f"{url} does not show {', '.join(texts)}")
        except NotReadyError as error:
            error.add_note(f"It shows: {' | '.join(self.texts())}")
            raise

    def texts(self) -> list[str]:
        """Return the texts on the page."""
        return str(self.evaluate(ALL_TEXT)).split("\n")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """Return the window as a PNG, once it has stopped to change: two pictures in a row are the same."""
        pictures = [b""]

        def still() -> bool:
            pictures.append(self.moment())
            return pictures[-1] == pictures[-2]

        self.evaluate("document.fonts.ready.then(() => true)")
        wait_until(still, PATIENCE, "the page does not come to rest")
        return pictures[-1]

    def moment(self) -> bytes:
        """Return the window as a PNG, as it is now."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    @property
    def _port_file(self) -> Path:
        return self.directory / "profile/DevToolsActivePort"
