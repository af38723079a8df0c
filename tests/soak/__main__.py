"""Soak the agent: `python -m soak MINUTES`; see scripts/soak."""

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

WARM = 10.0  # seconds after the start, of which nothing is expected


class Soak:
    """One soak, from the first part to the last word."""

    def __init__(self, options: argparse.Namespace, house: Environment) -> None:
        self._options = options
        self._house = house
        self._asked_to_end = threading.Event()
        self._began = time.monotonic()
        self._kinds: Counter[str] = Counter()
        self._refused: list[str] = []
        self._broken: list[str] = []

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """End early, and check what there is; the second time, end at once."""
        if self._asked_to_end.is_set():
            raise KeyboardInterrupt
        self._asked_to_end.set()

    def run(self) -> bool:
        """Soak; whether every law held."""
        self._house.open(self._go_on)
        self._rest(time.monotonic() + WARM)
        level = invariants.level(self._house.accounts.runs[-1])
        self._began = time.monotonic()
        end = self._began + 60 * self._options.minutes
        if self._options.faults:
            self._trouble(end)
        while not self._asked_to_end.is_set() and time.monotonic() < end:
            self._rest(min(end, time.monotonic() + 60))
            self._say("calm")
        self._broken += invariants.settle(self._house, level)
        if not self._options.faults:
            self._broken += invariants.flat(self._house.accounts.runs[-1])
        self._say("settled")
        self._house.say_goodbye()
        return self._verdict()

    def _go_on(self) -> None:
        if self._asked_to_end.is_set():
            raise KeyboardInterrupt

    def _rest(self, until: float) -> None:
        self._asked_to_end.wait(max(0.0, until - time.monotonic()))

    def _trouble(self, end: float) -> None:
        """Take the steps, each when its time has come or the one before is done; then mend what is broken."""
        interval = 60 / self._options.faults
        faults = Faults(self._options.seed, self._options.containers)
        steps = iter(faults)
        while (step := next(steps)) and (at := self._began + step.at * interval) < end:
            self._rest(at)
            if self._asked_to_end.is_set():
                break
            self._take(step)
        # The fault whose turn did not come has left its mend behind already.
        undone = [step] if step.mends else []
        undone += [mend for mend in faults.mends() if mend.whom != step.whom]
        for mend in undone:
            self._take(mend)

    def _take(self, step: Step) -> None:
        try:
            self._house.do(step)
        except AssertionError as error:
            if "docker " not in str(error):
                raise
            self._refused.append(f"{step}: {error}")
        if not step.mends:
            container = step.whom in self._house.containers or "-" in step.whom
            self._kinds[f"{'container' if container else step.whom} {step.what}"] += 1
        self._say(f"{'' if step.mends else f'#{self._kinds.total()} '}{step}")

    def _say(self, what: str) -> None:
        run = self._house.accounts.runs[-1]
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        line = f"{minutes:4}:{seconds:02}  {what:<42} seen {run.count}, missing {run.gaps}"
        if run.counters:
            last = run.counters[-1]
            line += "; {added} added, {sent} sent, {dropped} dropped, {waiting} waiting".format_map(last["outbox"])
            figures = last["process"]
            line += f"; {figures['rss'] / 1e6:.1f} MB, {figures['threads']} threads, {figures['fds']} fds"
        print(line, flush=True)

    def _verdict(self) -> bool:
        accounts = self._house.accounts
        broken = [*accounts.broken, *self._broken, *invariants.defects(self._house)]
        broken += accounts.audit(self._options.containers, self._options.interval)
        print(f"\nseed {self._options.seed}: {self._kinds.total()} faults, {len(accounts.runs)} runs of the agent")
        for kind, count in sorted(self._kinds.items()):
            print(f"  {count:4} {kind}")
        for refused in self._refused:
            print(f"docker refused {refused}")
        seen, twice = sum(run.count for run in accounts.runs), sum(run.twice for run in accounts.runs)
        print(f"{seen} usages seen, {twice} of them twice, {sum(run.gaps for run in accounts.runs)} gaps")
        for trouble in broken:
            print(f"BROKEN: {trouble}")
        print("every law held" if not broken else f"{len(broken)} laws broken")
        return not broken


def main() -> int:
    """Return 0 if every law held."""
    parser = argparse.ArgumentParser(prog="soak", description="Soak the agent, calm or under faults by chance.")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="the same faults again")
    parser.add_argument("--containers", type=int, default=20)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two usages of a container")
    parser.add_argument("--faults", type=float, default=4.0, metavar="PER_MINUTE", help="0: calm")
    parser.add_argument("--source", default="auto", choices=["auto", "stream", "poll"], help="of the first agent")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.containers} containers, {options.faults:g} faults a minute", flush=True)
    with tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as directory:
        house = Environment(Path(directory), options.containers, options.interval, options.source)
        soak = Soak(options, house)
        signal.signal(signal.SIGINT, soak.interrupt)
        signal.signal(signal.SIGTERM, soak.interrupt)
        try:
            return 0 if soak.run() else 1
        except KeyboardInterrupt:
            return 130
        finally:
            print("ending everything", flush=True)
            house.close()


if __name__ == "__main__":
    sys.exit(main())
