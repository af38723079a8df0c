"""The small figures: importing, starting, and one usage."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from support.daemons.subscriber import Subscriber

from benchmarks.candidates import HOST, ROOT, Candidate
from benchmarks.programs import clean_environment
from benchmarks.progress import say, wait
from benchmarks.stage import Stage, open_broker

MODULES = "import agent.cli, agent.app.service"
SETTLED = 2.5  # seconds until an engine goes to rest, whose readings somebody has read a moment ago
BURSTS = {"burst": (100, 5000), "alone": (1, 1000)}
"""How many containers at once, and how many usages in all."""


def imports(rounds: int) -> dict[str, Any]:
    """Return how long the interpreter takes to import the agent, above what it takes to start (medians, seconds)."""
    bare = [_timed("pass") for _ in range(rounds)]
    full = [_timed(MODULES) for _ in range(rounds)]
    seconds = median(full) - median(bare)
    say(f"importing the agent: {seconds:.3f} s")
    return {"seconds": seconds, "interpreter": median(bare), "slowest": slowest()}


def slowest(count: int = 12) -> list[tuple[str, float]]:
    """Return the modules whose own part of the import is longest, in seconds, as `python -X importtime` tells it."""
    done = subprocess.run(  # noqa: S603  # the interpreter we run on
        [sys.executable, "-X", "importtime", "-c", MODULES], env=_environment(), capture_output=True, check=True
    )
    return parse_import_times(done.stderr.decode())[:count]


def parse_import_times(text: str) -> list[tuple[str, float]]:
    """Return the modules of an importtime report with their own times in seconds, the slowest first."""
    rows = []
    for line in text.splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        if own.strip().isdecimal():
            rows.append((rest.partition("|")[2].strip(), int(own) / 1e6))
    return sorted(rows, key=lambda row: -row[1])


def starts(stage: Stage, ours: Sequence[Candidate], rounds: int) -> dict[str, Any]:
    """Return how long it takes from the start of the process to the first usage, and to one of every container.

    By source; medians in seconds, as a subscriber sees it.
    """
    found = {}
    for candidate in ours:
        times = [_start(stage, candidate) for _ in range(rounds)]
        found[candidate.name] = {"first": median(first for first, _ in times), "all": median(last for _, last in times)}
        say("first usage from {}: {first:.2f} s, from all {all:.2f} s".format(candidate.name, **found[candidate.name]))
    return found


def _start(stage: Stage, candidate: Candidate) -> tuple[float, float]:
    wait(SETTLED)
    subscriber = Subscriber(stage.broker.url, f"containers/{HOST}/+/usage")
    begun = time.monotonic()
    program = candidate.start(stage, 10, stage.directory / "start")
    try:
        first = subscriber.wait_for(lambda _: True, timeout=60)[0].arrived
        last = first
        for name in stage.pids:
            last = max(last, subscriber.on(f"containers/{HOST}/{name}/usage", timeout=60)[0].arrived)
        return first - begun, last - begun
    finally:
        program.close()
        subscriber.close()


def usage(rounds: int) -> dict[str, float]:
    """Return the CPU seconds of one usage, in bursts and alone (medians)."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="ua-bench-") as directory:
        broker = open_broker(Path(directory) / "broker")
        try:
            for name, (burst, count) in BURSTS.items():
                found[name] = median(_pipeline(broker.port, burst, count) for _ in range(rounds))
                say(f"one usage, {burst} at once: {found[name] * 1e6:.0f} us")
        finally:
            broker.close()
    return found


def _pipeline(port: int, burst: int, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.pipeline", str(port), str(burst), str(count)]
    done = subprocess.run(command, env=_environment(), capture_output=True, check=True)  # noqa: S603  # our own module
    return float(json.loads(done.stdout))


def _timed(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=_environment(), check=True)  # noqa: S603  # the code above
    return time.perf_counter() - begun


def _environment() -> dict[str, str]:
    return clean_environment() | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
