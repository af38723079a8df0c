"""Command line of the soak test: `python -m soak MINUTES`; see scripts/soak."""

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from soak import invariants
from soak.environment import Environment
from soak.faults import Faults, Step
from soak.resources import Resources, changes

WARM_UP_SECONDS = 10.0  # after the start; the baseline is taken afterwards
SAMPLE_SECONDS = 60.0  # between two samples of what an undisturbed agent holds; the first minute is left out


class Soak:
    """One soak test, from the start of the environment to the printed result."""

    def __init__(self, options: argparse.Namespace, environment: Environment) -> None:
        self._options = options
        self._environment = environment
        self._interrupted = threading.Event()
        self._began = time.monotonic()
        self._kinds: Counter[str] = Counter()
        self._refused: list[str] = []
        self._violations: list[str] = []
        self._samples: list[tuple[Resources, set[str]]] = []  # of an agent without faults

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """End early and check the invariants on the first signal; end at once on the second."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self._interrupted.set()

    def run(self) -> bool:
        """Run the soak test and return whether every invariant held."""
        self._environment.open(self._stop_if_interrupted)
        self._wait_until(time.monotonic() + WARM_UP_SECONDS)
        baseline, _ = invariants.sample(self._environment)
        self._began = time.monotonic()
        end = self._began + 60 * self._options.minutes
        if self._options.faults:
            self._inject_faults(end)
        while not self._interrupted.is_set() and time.monotonic() < end:
            self._wait_until(min(end, time.monotonic() + SAMPLE_SECONDS))
            self._print_progress("no faults")
            if not self._options.faults:
                self._samples.append(invariants.sample(self._environment))
        self._violations += invariants.violations_after_repair(self._environment, baseline)
        if not self._options.faults:
            run = self._environment.accounting.runs[-1]
            self._violations += [f"{run.gaps} usages are missing"] if run.gaps else []
            self._violations += changes(self._samples)
        self._print_progress("settled")
        self._environment.end_agent_and_wait()
        return self._print_result()

    def _stop_if_interrupted(self) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt

    def _wait_until(self, until: float) -> None:
        self._interrupted.wait(max(0.0, until - time.monotonic()))

    def _inject_faults(self, end: float) -> None:
        """Apply each step when it is due, or as soon as the one before is done; then make the pending repairs."""
        interval = 60 / self._options.faults
        faults = Faults(self._options.seed, self._options.containers)
        steps = iter(faults)
        while (step := next(steps)) and (at := self._began + step.at * interval) < end:
            self._wait_until(at)
            if self._interrupted.is_set():
                break
            self._apply(step)
        # A fault that was not applied has added its repair already: skip that one.
        pending = [step] if step.is_repair else []
        pending += [repair for repair in faults.repairs() if repair.target != step.target]
        for repair in pending:
            self._apply(repair)

    def _apply(self, step: Step) -> None:
        try:
            self._environment.apply(step)
        except AssertionError as error:
            if "docker " not in str(error):
                raise
            self._refused.append(f"{step}: {error}")
        if not step.is_repair:
            container = step.target in self._environment.containers or "-" in step.target
            self._kinds[f"{'container' if container else step.target} {step.action}"] += 1
        self._print_progress(f"{'' if step.is_repair else f'#{self._kinds.total()} '}{step}")

    def _print_progress(self, what: str) -> None:
        run = self._environment.accounting.runs[-1]
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        line = f"{minutes:4}:{seconds:02}  {what:<42} seen {run.count}, missing {run.gaps}"
        if run.counters:
            last = run.counters[-1]
            line += "; {added} added, {sent} sent, {dropped} dropped, {waiting} waiting".format_map(last["outbox"])
            figures = last["process"]
            line += f"; {figures['rss'] / 1e6:.1f} MB, {figures['threads']} threads, {figures['fds']} fds"
        print(line, flush=True)

    def _print_result(self) -> bool:
        accounting = self._environment.accounting
        violations = [*accounting.violations, *self._violations, *invariants.defect_lines(self._environment)]
        violations += accounting.audit(self._options.containers, self._options.interval)
        print(f"\nseed {self._options.seed}: {self._kinds.total()} faults, {len(accounting.runs)} runs of the agent")
        for kind, count in sorted(self._kinds.items()):
            print(f"  {count:4} {kind}")
        for refused in self._refused:
            print(f"failed docker command: {refused}")
        seen, duplicates = sum(run.count for run in accounting.runs), sum(run.duplicates for run in accounting.runs)
        print(f"{seen} usages seen, {duplicates} of them duplicates, {sum(run.gaps for run in accounting.runs)} gaps")
        for violation in violations:
            print(f"VIOLATED: {violation}")
        print("every invariant held" if not violations else f"{len(violations)} invariants violated")
        return not violations


def main() -> int:
    """Return 0 if every invariant held."""
    parser = argparse.ArgumentParser(prog="soak", description="Soak test of the agent, with or without random faults.")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeat the faults of a run")
    parser.add_argument("--containers", type=int, default=20)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two usages of a container")
    parser.add_argument("--faults", type=float, default=4.0, metavar="PER_MINUTE", help="0: no faults")
    parser.add_argument(
        "--source", default="auto", choices=["auto", "stream", "poll"], help="source of the first agent"
    )
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.containers} containers, {options.faults:g} faults a minute", flush=True)
    with tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as directory:
        environment = Environment(Path(directory), options.containers, options.interval, options.source)
        soak = Soak(options, environment)
        signal.signal(signal.SIGINT, soak.interrupt)
        signal.signal(signal.SIGTERM, soak.interrupt)
        try:
            return 0 if soak.run() else 1
        except KeyboardInterrupt:
            return 130
        finally:
            print("stopping all parts", flush=True)
            environment.close()


if __name__ == "__main__":
    sys.exit(main())
