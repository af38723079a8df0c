"""Small benchmarks: importing the agent, starting it, and the CPU time of one usage."""

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
from benchmarks.progress import log_progress, wait
from benchmarks.testbed import Testbed, start_broker

MODULES = "import agent.cli, agent.app.service"
ENGINE_REST_SECONDS = 2.5  # an engine goes on reading a container for a while after its last client
BURSTS = {"burst": (100, 5000), "alone": (1, 1000)}
"""By name: how many containers publish at once, and how many usages in all."""


def measure_import(rounds: int) -> dict[str, Any]:
    """Return how long importing the agent takes, without the interpreter's own start (medians, seconds)."""
    bare = [_time_python("pass") for _ in range(rounds)]
    full = [_time_python(MODULES) for _ in range(rounds)]
    seconds = median(full) - median(bare)
    log_progress(f"importing the agent: {seconds:.3f} s")
    return {"seconds": seconds, "interpreter": median(bare), "slowest": slowest_modules()}


def slowest_modules(count: int = 12) -> list[tuple[str, float]]:
    """Return the modules that take longest to import, without what they import, in seconds (`python -X importtime`)."""
    done = subprocess.run(  # noqa: S603  # this interpreter
        [sys.executable, "-X", "importtime", "-c", MODULES], env=_environment(), capture_output=True, check=True
    )
    return parse_import_times(done.stderr.decode())[:count]


def parse_import_times(text: str) -> list[tuple[str, float]]:
    """Return the modules of a report of `-X importtime` with their own times in seconds, the slowest first."""
    rows = []
    for line in text.splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        if own.strip().isdecimal():
            rows.append((rest.partition("|")[2].strip(), int(own) / 1e6))
    return sorted(rows, key=lambda row: -row[1])


def measure_starts(testbed: Testbed, candidates: Sequence[Candidate], rounds: int) -> dict[str, Any]:
    """Return the time from the start of the process to the first usage, and to the first of every container.

    By source; medians in seconds, as seen by a subscriber.
    """
    found = {}
    for candidate in candidates:
        times = [_measure_start(testbed, candidate) for _ in range(rounds)]
        found[candidate.name] = {"first": median(first for first, _ in times), "all": median(last for _, last in times)}
        log_progress(
            "first usage from {}: {first:.2f} s, from all {all:.2f} s".format(candidate.name, **found[candidate.name])
        )
    return found


def _measure_start(testbed: Testbed, candidate: Candidate) -> tuple[float, float]:
    wait(ENGINE_REST_SECONDS)
    subscriber = Subscriber(testbed.broker.url, f"containers/{HOST}/+/usage")
    started = time.monotonic()
    program = candidate.start(testbed, 10, testbed.directory / "start")
    try:
        first = subscriber.wait_for(lambda _: True, timeout=60)[0].arrived
        last = first
        for name in testbed.pids:
            last = max(last, subscriber.on(f"containers/{HOST}/{name}/usage", timeout=60)[0].arrived)
        return first - started, last - started
    finally:
        program.close()
        subscriber.close()


def measure_usage(rounds: int) -> dict[str, float]:
    """Return the CPU time of one usage in seconds, in bursts and alone (medians)."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="ua-bench-") as directory:
        broker = start_broker(Path(directory) / "broker")
        try:
            for name, (burst, count) in BURSTS.items():
                found[name] = median(_run_pipeline(broker.port, burst, count) for _ in range(rounds))
                log_progress(f"one usage, {burst} at once: {found[name] * 1e6:.0f} us")
        finally:
            broker.close()
    return found


def _run_pipeline(port: int, burst: int, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.pipeline", str(port), str(burst), str(count)]
    done = subprocess.run(command, env=_environment(), capture_output=True, check=True)  # noqa: S603  # a module of this package
    return float(json.loads(done.stdout))


def _time_python(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=_environment(), check=True)  # noqa: S603  # the code above
    return time.perf_counter() - started


def _environment() -> dict[str, str]:
    return clean_environment() | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
