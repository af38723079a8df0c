"""Takes the pictures: private engine and broker, two agents, `watch` on a terminal, the page in Chromium.

Both agents watch the same engine, each a part of its containers: they stand for two hosts.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from support.daemons import chromium, dockerd, mosquitto
from support.daemons.agent import RunningAgent
from support.daemons.chromium import Chromium
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.workloads import disk_below
from support.pictures.home_lab import ENDED, HOSTS, HomeLab
from support.terminal import Terminal

INTERVAL = 4  # seconds: what comes and goes faster is not seen
SECONDS = 300.0  # of history before the pictures are taken
DESKTOP, GRAPHS, PHONE = (1280, 800), (1280, 836), (390, 844)
COLUMNS, ROWS = 110, 18
TERMINAL = (COLUMNS * 9 + 36, ROWS * 18 + 28)
WATCH_SECONDS = 45.0  # for its sparklines
DETAIL = "#/container/nas/jellyfin"
MAX_BYTES = 250_000


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    images = Path(__file__).parents[3] / "docs/images"
    parser.add_argument("--out", type=Path, default=images, metavar="DIRECTORY", help="the pictures (docs/images)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that the containers work before")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is ended
    if reason := dockerd.missing() or mosquitto.missing() or chromium.missing():
        raise SystemExit(f"error: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as scratch,
        running(Path(scratch)) as (broker_url, page_url),
        closing(Chromium(Path(scratch) / "browser")) as browser,
    ):
        print(f"==> the containers work for {asked.seconds:g} s", flush=True)
        threading.Event().wait(asked.seconds)
        browser.start()
        taken = {**of_watch(browser, broker_url), **of_page(browser, page_url)}
    for name, picture in taken.items():
        path = asked.out / f"{name}.png"
        path.write_bytes(smaller(picture))
        print(path, f"{path.stat().st_size // 1000} kB")
        if path.stat().st_size > MAX_BYTES:
            raise SystemExit(f"error: {path} is larger than {MAX_BYTES} bytes")


@contextmanager
def running(scratch: Path) -> Iterator[tuple[str, str]]:
    """Run containers, agents and the page's server. Yields the addresses of the broker and of the page."""
    with ExitStack() as stack:
        broker = stack.enter_context(closing(Mosquitto(scratch / "broker")))
        broker.start()
        bridge = stack.enter_context(_bridge())
        engine = stack.enter_context(
            closing(PrivateEngine(scratch / "engine", f"--bridge={bridge}", "--ip-forward=false"))
        )
        engine.start()
        port = free_port()
        at_broker: dict[str, dict[str, Any]] = {"broker": {"url": broker.url}}
        served = {**at_broker, "web": {"listen": f"127.0.0.1:{port}"}}
        page = stack.enter_context(closing(RunningAgent(scratch / "page", served, ("web",))))
        page.wait_for_line("the page is at")
        for host, services in HOSTS.items():
            agent = {"host": host, "interval": INTERVAL}
            included = [*services, *(name for name, place in ENDED.items() if place == host)]
            config: dict[str, dict[str, Any]] = {
                "agent": agent,
                "engine": {"url": engine.url, "include": included},
                **at_broker,
            }
            stack.enter_context(closing(RunningAgent(scratch / host, config)))
        HomeLab(engine, disk_below(engine.directory)).start()
        url = f"http://127.0.0.1:{port}/"
        wait_until(lambda: _complete(url), PATIENCE, "not every container is there")
        yield broker.url, url


def of_watch(browser: Chromium, broker_url: str) -> dict[str, bytes]:
    """Return pictures of a terminal with `watch`, by name."""
    environment = {**os.environ, "USAGE_AGENT_BROKER__URL": broker_url, "LC_ALL": "C.UTF-8", "COLORTERM": "truecolor"}
    command = [sys.executable, "-m", "agent", "watch", "--sort", "cpu"]
    with closing(Terminal(command, environment, COLUMNS, ROWS)) as terminal:
        terminal.wait_for("jellyfin")
        threading.Event().wait(WATCH_SECONDS)
        pages = {scheme: terminal.page(dark=scheme == "dark") for scheme in ("light", "dark")}
    taken = {}
    for scheme, page in pages.items():
        browser.show_as(*TERMINAL, dark=scheme == "dark", scale=2)
        browser.send("Page.navigate", url="about:blank")
        browser.evaluate(f"document.write({json.dumps(page)}); document.close()")
        taken[f"watch-{scheme}"] = browser.picture()
    return taken


def of_page(browser: Chromium, url: str) -> dict[str, bytes]:
    """Return pictures of the page, by name."""
    taken = {}
    for name, size, scheme, path in (
        ("web-light", DESKTOP, "light", ""),
        ("web-dark", DESKTOP, "dark", ""),
        ("web-container-light", GRAPHS, "light", DETAIL),
        ("web-container-dark", GRAPHS, "dark", DETAIL),
        ("web-phone-light", PHONE, "light", ""),
        ("web-phone-dark", PHONE, "dark", ""),
    ):
        browser.show_as(*size, dark=scheme == "dark", scale=2 if size == PHONE else 1.5)
        browser.send("Page.navigate", url="about:blank")
        browser.go(url + path, "jellyfin")
        # Where a scrollbar takes no room, none is kept for it. The hidden one of this browser would take some.
        browser.evaluate("document.documentElement.style.scrollbarGutter = 'auto'")
        threading.Event().wait(3)
        taken[name] = browser.moment()
    return taken


def smaller(picture: bytes) -> bytes:
    """Return a PNG with a palette, which text and plain colours hardly need more than."""
    command = ["pngquant", "--quality=80-100", "--speed=1", "--strip", "-"]
    return subprocess.run(command, input=picture, stdout=subprocess.PIPE, check=True).stdout


@contextmanager
def _bridge() -> Iterator[str]:
    """Yield the name of a bridge of our own: docker0 is deleted by every engine without a network."""
    name = f"ua{uuid4().hex[:8]}"
    subprocess.run(["ip", "link", "add", "name", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "10.213.77.1/24", "dev", name], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "delete", name], check=True)


def _complete(url: str) -> bool:
    containers = requests.get(f"{url}api/containers", timeout=PATIENCE).json()["containers"]
    states = [container["state"] for container in containers]
    expected = sum(map(len, HOSTS.values()))
    return (states.count("running"), states.count("stopped")) == (expected, len(ENDED))


if __name__ == "__main__":
    main()
