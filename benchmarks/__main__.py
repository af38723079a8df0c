"""Measures what usage-agent costs, beside other programs, and writes the page and the pictures.

scripts/bench                                                        everything: docs/benchmarks.md and its pictures
scripts/bench --containers 20 --rounds 1 --seconds 10 --only poll,baseline --parts rounds   a quick look
scripts/bench --render build/bench/results.json                      the page and the pictures from earlier results
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.daemons import dockerd, mosquitto

from agent import __version__
from benchmarks import comparison, growth, micro, plot, report
from benchmarks.candidates import ROOT, candidates
from benchmarks.progress import log_progress
from benchmarks.testbed import create_testbed

PARTS = ("rounds", "starts", "growth", "imports", "usage")
SIZES = (10, 100, 1000, 3000)
MAX_REPETITIONS = 5  # of the small benchmarks
RESULTS_FILE = ROOT / "build/bench/results.json"


def main() -> int:
    """Measure, and write the page and its pictures."""
    options = _options()
    if options.render:
        return _write(json.loads(options.render.read_text()), options.output)
    if reason := dockerd.missing() or mosquitto.missing():
        raise SystemExit(f"error: {reason}")
    plan = {"rounds": options.rounds, "seconds": options.seconds}
    results: dict[str, Any] = {"machine": _machine(), "containers": options.containers, "plan": plan}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    RESULTS_FILE.parent.mkdir(parents=True, exist_ok=True)
    try:
        for part, found in _measure_parts(options):
            results[part] = found
            RESULTS_FILE.write_text(json.dumps(results, indent=1))
    except KeyboardInterrupt:
        log_progress(f"ended early; the results so far are in {RESULTS_FILE}: --render makes a page of them")
        return 130
    return _write(results, options.output)


def _measure_parts(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yield the name and the results of each part that was asked for."""
    repetitions = min(MAX_REPETITIONS, options.rounds)
    if "imports" in options.parts:
        yield "imports", micro.measure_import(2 * repetitions + 1)
    if "usage" in options.parts:
        yield "usage", micro.measure_usage(repetitions)
    if {"starts", "rounds"} & set(options.parts):
        yield from _measure_real_containers(options, repetitions)
    if "growth" in options.parts:
        for rows in growth.measure_growth(options.sizes, options.intervals, options.rounds):
            yield "growth", rows


def _measure_real_containers(options: argparse.Namespace, repetitions: int) -> Iterator[tuple[str, Any]]:
    chosen = [each for each in candidates() if not options.only or each.name in options.only]
    plan = comparison.Plan(options.rounds, options.seconds)
    with (
        tempfile.TemporaryDirectory(prefix="ua-bench-", ignore_cleanup_errors=True) as directory,
        create_testbed(Path(directory), options.containers) as testbed,
    ):
        if "starts" in options.parts:
            yield "starts", micro.measure_starts(testbed, [each for each in chosen if each.is_agent], repetitions)
        found: dict[str, Any] = {}
        for interval in options.intervals if "rounds" in options.parts else ():
            compared = [each for each in chosen if interval in each.intervals]
            found[f"{interval:g}"] = comparison.compare(testbed, compared, interval, plan)
            yield "rounds", found


def _write(results: dict[str, Any], output: Path) -> int:
    """Write the page and its pictures, and print the page."""
    output.mkdir(parents=True, exist_ok=True)
    page = report.page(results)
    (output / "benchmarks.md").write_text(page)
    if results.get("rounds"):
        (output / "benchmarks-costs.svg").write_text(plot.costs(results))
    if results.get("growth"):
        (output / "benchmarks-growth.svg").write_text(plot.growth(results))
    print(page)
    log_progress(f"written to {output}")
    return 0


def _machine() -> dict[str, Any]:
    """Return a description of this machine and of the versions on it."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    version = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "kernel": platform.release().partition("-")[0],
        "docker": version.removeprefix("Docker version ").partition(",")[0].partition("+")[0],
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "python": platform.python_version(),
        "agent": __version__,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--containers", type=int, default=100, metavar="N", help="real containers (%(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="measurements of each candidate (%(default)s)"
    )
    # What an idle engine with a hundred shims does repeats about every 30 s: shorter measurements see only parts of it.
    parser.add_argument("--seconds", type=float, default=30, metavar="S", help="length of a measurement (%(default)s)")
    parser.add_argument(
        "--intervals",
        type=_numbers,
        default=(10, 1),
        metavar="S,...",
        help="intervals to compare at (default: %(default)s)",
    )
    parser.add_argument(
        "--sizes",
        type=_numbers,
        default=SIZES,
        metavar="N,...",
        help="numbers of fake containers (default: %(default)s)",
    )
    parser.add_argument("--only", type=_words, default=(), metavar="NAME,...", help="only these candidates")
    parser.add_argument(
        "--parts", type=_words, default=PARTS, metavar="PART,...", help="only these parts (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIRECTORY",
        help="where to write (default: docs, or build/bench if not everything is measured)",
    )
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help="measure nothing, and write the page from this file of results"
    )
    options = parser.parse_args()
    if options.output is None:
        defaults = vars(parser.parse_args([])).items() - {("output", None), ("render", None)}
        complete = options.render or all(getattr(options, name) == value for name, value in defaults)
        options.output = ROOT / "docs" if complete else RESULTS_FILE.parent
    return options


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
