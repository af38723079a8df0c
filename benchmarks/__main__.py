"""The measurements in their order, and what becomes of them.

scripts/bench                                                        all of it: docs/benchmarks.md and its pictures
scripts/bench --containers 20 --rounds 1 --seconds 10 --only poll,floor --parts rounds      a quick look
scripts/bench --render build/bench/results.json                      the page and the pictures once more
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
from benchmarks import growth, micro, plot, report, rounds, stage
from benchmarks.candidates import ROOT, candidates
from benchmarks.progress import say

PARTS = ("rounds", "starts", "growth", "imports", "usage")
SIZES = (10, 100, 1000, 3000)
REPEATED = 5  # how often a small figure is taken
KEPT = ROOT / "build/bench/results.json"


def main() -> int:
    """Measure and write."""
    options = _options()
    if options.render:
        return _write(json.loads(options.render.read_text()), options.output)
    if reason := dockerd.missing() or mosquitto.missing():
        raise SystemExit(f"error: {reason}")
    plan = {"rounds": options.rounds, "seconds": options.seconds}
    results: dict[str, Any] = {"machine": _machine(), "containers": options.containers, "plan": plan}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    try:
        for part, found in _measured(options):
            results[part] = found
            KEPT.write_text(json.dumps(results, indent=1))
    except KeyboardInterrupt:
        say(f"ended early; what was measured is in {KEPT}, to be shown with --render")
        return 130
    return _write(results, options.output)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yield each part of the results when it is there."""
    repeated = min(REPEATED, options.rounds)
    if "imports" in options.parts:
        yield "imports", micro.imports(2 * repeated + 1)
    if "usage" in options.parts:
        yield "usage", micro.usage(repeated)
    if {"starts", "rounds"} & set(options.parts):
        yield from _on_real_containers(options, repeated)
    if "growth" in options.parts:
        for grown in growth.grow(options.sizes, options.intervals, options.rounds):
            yield "growth", grown


def _on_real_containers(options: argparse.Namespace, repeated: int) -> Iterator[tuple[str, Any]]:
    chosen = [each for each in candidates() if not options.only or each.name in options.only]
    plan = rounds.Plan(options.rounds, options.seconds)
    with (
        tempfile.TemporaryDirectory(prefix="ua-bench-", ignore_cleanup_errors=True) as directory,
        stage.opened(Path(directory), options.containers) as opened,
    ):
        if "starts" in options.parts:
            yield "starts", micro.starts(opened, [each for each in chosen if each.ours], repeated)
        found: dict[str, Any] = {}
        for interval in options.intervals if "rounds" in options.parts else ():
            able = [each for each in chosen if interval in each.intervals]
            found[f"{interval:g}"] = rounds.compare(opened, able, interval, plan)
            yield "rounds", found


def _write(results: dict[str, Any], output: Path) -> int:
    """Write the page and its pictures; print the page."""
    output.mkdir(parents=True, exist_ok=True)
    page = report.page(results)
    (output / "benchmarks.md").write_text(page)
    if results.get("rounds"):
        (output / "benchmarks-costs.svg").write_text(plot.costs(results))
    if results.get("growth"):
        (output / "benchmarks-growth.svg").write_text(plot.growth(results))
    print(page)
    say(f"written to {output}")
    return 0


def _machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    told = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "kernel": platform.release().partition("-")[0],
        "docker": told.removeprefix("Docker version ").partition(",")[0].partition("+")[0],
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "python": platform.python_version(),
        "agent": __version__,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--containers", type=int, default=100, metavar="N", help="real containers (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of all candidates (%(default)s)")
    # An idle engine with a hundred shims repeats itself about every 30 s: shorter windows see different parts of it.
    parser.add_argument("--seconds", type=float, default=30, metavar="S", help="length of a window (%(default)s)")
    parser.add_argument("--intervals", type=_numbers, default=(10, 1), metavar="S,...", help="both of %(default)s")
    parser.add_argument("--sizes", type=_numbers, default=SIZES, metavar="N,...", help="fake containers %(default)s")
    parser.add_argument("--only", type=_words, default=(), metavar="NAME,...", help="only these candidates")
    parser.add_argument("--parts", type=_words, default=PARTS, metavar="PART,...", help="only these of %(default)s")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="docs; build/bench where it is not all of it")
    parser.add_argument("--render", type=Path, metavar="FILE", help="write the page from results of before")
    options = parser.parse_args()
    if options.output is None:
        whole = vars(parser.parse_args([])).items() - {("output", None), ("render", None)}
        complete = options.render or all(getattr(options, name) == value for name, value in whole)
        options.output = ROOT / "docs" if complete else KEPT.parent
    return options


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
