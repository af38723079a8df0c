"""Takes a picture of a page of Home Assistant, as it is for the messages on a broker that runs already.

Home Assistant starts with an empty configuration: what it shows is what the broker has retained, and what is published
from then on.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from support import progress
from support.daemons import chromium
from support.daemons.chromium import Chromium
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.home_assistant import installation
from support.home_assistant.installation import NEWEST
from support.home_assistant.server import HomeAssistant

DESKTOP, PHONE = (1080, 680), (412, 915)

DASHBOARD = """\
lovelace:
  dashboards:
    example-page:
      mode: yaml
      title: Example
      filename: example.yaml
"""


def main() -> None:
    """Take the picture that the command line describes."""
    progress.show = lambda line: print(f"==> {line}", flush=True)
    asked = _arguments()
    if reason := chromium.missing() or installation.missing():
        raise SystemExit(f"error: {reason}")
    with tempfile.TemporaryDirectory(prefix="ua-") as scratch, _home_assistant(Path(scratch), asked) as running:
        for entity_id in asked.until:
            _wait_for_state(running, entity_id)
        path, texts = _device_page(running, asked.device) if asked.device else (asked.path, [])
        with closing(Chromium(Path(scratch) / "browser")) as browser:
            browser.start()
            _log_in(browser, running)
            width, height = asked.size
            browser.show_as(width, height, dark=asked.dark, scale=asked.scale)
            browser.go(running.api.url + path, *texts, *asked.text)
            asked.out.write_bytes(browser.picture())
    print(asked.out)


def _wait_for_state(running: HomeAssistant, entity_id: str) -> None:
    none = (None, "unknown", "unavailable")
    wait_until(lambda: running.state(entity_id) not in none, PATIENCE, f"{entity_id} has no state")


def _device_page(running: HomeAssistant, identifier: str) -> tuple[str, list[str]]:
    """Return the path of a device's page, and what is written on it."""
    wait_until(lambda: identifier in running.devices(), PATIENCE, f"there is no device {identifier}")
    device = running.devices()[identifier]
    return f"/config/devices/device/{device['id']}", [device["name"]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/picture", description=__doc__)
    parser.add_argument("--broker-port", type=int, required=True, help="of a broker on this machine without a login")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="the picture")
    page = parser.add_mutually_exclusive_group(required=True)
    page.add_argument("--device", metavar="ID", help="the page of the device with this identifier")
    page.add_argument("--dashboard", type=Path, metavar="FILE.yaml", help="a dashboard, in Home Assistant's YAML")
    page.add_argument("--path", help="any page, such as /config/integrations")
    parser.add_argument("--until", action="append", default=[], metavar="ENTITY", help="wait until it has a state")
    parser.add_argument("--text", action="append", default=[], help="wait until the page shows this")
    parser.add_argument("--dark", action="store_true", help="in dark colors")
    parser.add_argument("--size", type=_size, default=DESKTOP, metavar="WIDTHxHEIGHT", help="of the window")
    parser.add_argument("--phone", dest="size", action="store_const", const=PHONE, help="as on a phone")
    parser.add_argument("--scale", type=float, default=1, help="pixels of the picture for each of the window")
    return parser.parse_args()


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


@contextmanager
def _home_assistant(scratch: Path, asked: argparse.Namespace) -> Iterator[HomeAssistant]:
    broker = Mosquitto(scratch / "broker", port=asked.broker_port)  # runs already: only its port is used
    made = HomeAssistant(scratch / "home-assistant", broker, NEWEST, pages=installation.frontend(NEWEST))
    if asked.dashboard:
        (made.directory / "example.yaml").write_text(asked.dashboard.read_text())
        with (made.directory / "configuration.yaml").open("a") as configuration:
            configuration.write(DASHBOARD)
        asked.path = "/example-page"
    with closing(made):
        made.start()
        # That cameras and speech were not started, and that the address stands in a file.
        made.api.call_service("persistent_notification.dismiss_all")
        for issue in made.api.command("repairs/list_issues")["issues"]:
            ignored = {"domain": issue["domain"], "issue_id": issue["issue_id"], "ignore": True}
            made.api.command("repairs/ignore_issue", **ignored)
        yield made


def _log_in(browser: Chromium, running: HomeAssistant) -> None:
    """Store a login, and a narrow sidebar, as the pages do."""
    tokens = running.api.tokens
    expires = int((time.time() + tokens["expires_in"]) * 1000)
    login = tokens | {"hassUrl": running.api.url, "clientId": f"{running.api.url}/", "expires": expires}
    stored = {"hassTokens": json.dumps(login), "dockedSidebar": '"auto"'}  # auto: icons only
    browser.run_before_pages(f"Object.entries({json.dumps(stored)}).forEach(([k, v]) => localStorage.setItem(k, v))")


if __name__ == "__main__":
    main()
