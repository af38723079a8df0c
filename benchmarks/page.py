"""Measures the page of `usage-agent web` in a real Chromium, while all containers have a usage each second.

PYTHONPATH=.:tests .venv/bin/python -m benchmarks.page

The messages come from a process's thread over a real broker. One container has a full history of an hour, which its
page draws. It needs what the tests need (playwright, chromium, mosquitto), and an otherwise idle machine.
"""

import argparse
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from fleet.messages import START, Host
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, Page
from support.browser import chromium
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto

from benchmarks import accounting
from benchmarks.goals import MEGABYTE, Outcome, at_most, megabytes, percent, seconds
from benchmarks.progress import log_progress, wait
from benchmarks.report import table

HISTORY_SAMPLES = 3600
SETTLE_SECONDS = 5.0  # after the page was opened
PATIENCE_MS = 60_000

OBSERVE = """
window.tasks = [];
new PerformanceObserver(list => list.getEntries().forEach(entry => window.tasks.push(entry.duration)))
    .observe({type: 'longtask', buffered: true});
new MutationObserver((_, observer) => {
    if (!document.querySelector('#body .row .link')) return;
    requestAnimationFrame(() => setTimeout(() => (document.body.dataset.first = performance.now())));
    observer.disconnect();
}).observe(document, {childList: true, subtree: true});
"""
"""Notes when the first row was painted, in ms since the page was asked for, and each task above 50 ms."""


class Publisher:
    """Publishes a usage of each container once a second, as their agent would."""

    def __init__(self, port: int, containers: int) -> None:
        self._host = Host("host")
        self._names = [f"container-{number:03}" for number in range(containers)]
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Publish all statuses and the history of the first container, and go on with usages."""
        self._send(self._host.status(interval=1))
        for name in self._names:
            self._send(self._host.container(name))
        now = time.time() - START
        for seq in range(1, HISTORY_SAMPLES + 1):
            self._send(self._usage(self._names[0], seq, now - HISTORY_SAMPLES + seq))
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._ending.set()
        self._thread.join()
        self._client.loop_stop()
        self._client.disconnect()

    def _run(self) -> None:
        seq, due = HISTORY_SAMPLES + 1, time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            for name in self._names:
                self._send(self._usage(name, seq, time.time() - START))
            seq, due = seq + 1, due + 1

    def _usage(self, name: str, seq: int, at: float) -> Any:
        return self._host.usage(name, seq, cpu=(seq * 37 + hash(name)) % 1000 / 10, at=at, interval=1.0)

    def _send(self, message: Any) -> None:
        self._client.publish(message.topic, message.payload, 0, message.retain)


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    Attributes:
        first: seconds until the first row, of each opening.
        tasks: durations of the tasks above 50 ms, in ms, by what was shown.
        cpu: of the server, with one viewer; 1 is one core.
        peak: memory of the server, in bytes.
    """

    first: list[float]
    tasks: dict[str, list[float]]
    cpu: float
    peak: int

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of each goal."""
        yield at_most("First row, median", 1.0, statistics.median(self.first), seconds)
        yield at_most("First row, slowest", 1.0, max(self.first), seconds)
        for shown, tasks in self.tasks.items():
            longest = f", the longest {max(tasks):.0f} ms" if tasks else ""
            goal = f"Tasks above 50 ms: {shown}{longest}"
            yield at_most(goal, 0, len(tasks), "{:.0f}".format)
        yield at_most("CPU of the server, one viewer", 0.1, self.cpu, percent)
        yield at_most("Memory of the server, peak", 80 * MEGABYTE, self.peak, megabytes)


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """Open a page in a window of its own, without a cache, and wait for its first row."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.add_init_script(OBSERVE)
        page.goto(url)
        page.locator("body[data-first]").wait_for(timeout=PATIENCE_MS)
        yield page
    finally:
        context.close()


def measure(browser: Browser, server: RunningAgent, url: str, options: argparse.Namespace) -> Result:
    """Open the page several times, then look at the table and at one container for a while each."""
    first = []
    for _ in range(options.rounds):
        with opened(browser, url) as page:
            first.append(float(page.evaluate("document.body.dataset.first")) / 1000)
    tasks = {}
    with opened(browser, url) as page:
        wait(SETTLE_SECONDS)
        pids = accounting.family(server.pid)
        before, began = accounting.cpu(pids), time.monotonic()
        tasks["the table"] = _tasks(page, options.seconds)
        cpu = (accounting.cpu(pids) - before) / (time.monotonic() - began) / 1e9
        page.evaluate("location.hash = '#/container/host/container-000'")
        page.get_by_label("Show").select_option("3600")
        wait(SETTLE_SECONDS)
        tasks["a container's graphs"] = _tasks(page, options.seconds)
    return Result(first, tasks, cpu, accounting.memory(pids))


def _tasks(page: Page, duration: float) -> list[float]:
    """Return the long tasks of the next seconds."""
    page.evaluate("window.tasks.length = 0")
    wait(duration)
    found: list[float] = page.evaluate("window.tasks")
    return found


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--containers", type=int, default=200, metavar="N", help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="times it is opened (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="it is looked at (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="ua-page-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        broker = Mosquitto(Path(name) / "broker")
        stack.callback(broker.close)
        broker.start()
        config = {"broker": {"url": broker.url}, "web": {"listen": "127.0.0.1:0"}}
        server = RunningAgent(Path(name) / "server", config, ("web",))
        stack.callback(server.close)
        url = server.wait_for_line("the page is at http://")[0].rpartition(" ")[2]
        publisher = Publisher(broker.port, options.containers)
        stack.callback(publisher.close)
        publisher.start()
        log_progress(f"{options.containers} containers publish each second")
        wait(SETTLE_SECONDS)
        found = measure(stack.enter_context(chromium()), server, url, options)
    print(_page(found))
    return 0


def _page(found: Result) -> str:
    """Return the table of the goals."""
    rows = ([each.goal, each.allowed, each.found, "✓" if each.met else "✗"] for each in found.outcomes())
    return table(["goal", "limit", "result", ""], rows)


if __name__ == "__main__":
    sys.exit(main())
