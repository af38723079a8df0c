"""A minute of what `scripts/soak` does for hours; its faults are a function of the seed."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from soak.faults import PARTS, TRANSITIONS, Faults
from support.progress import report

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.engine
@pytest.mark.broker
@pytest.mark.slow
def test_short_soak_keeps_every_invariant() -> None:
    """Ten faults within a minute: every invariant holds, and everything is ended."""
    report("soaking the agent for a minute")
    command = [sys.executable, "-m", "soak", "1", "--seed", "1", "--containers", "5", "--faults", "10"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every invariant held" in done.stdout


def test_faults_are_a_function_of_the_seed() -> None:
    """The same seed gives the same faults in the same order at the same time; another seed gives others."""
    first, again, other = (list(islice(Faults(seed, 5), 500)) for seed in (1, 1, 2))
    assert first == again != other


def test_every_fault_happens_where_it_is_possible() -> None:
    """Time goes forward, only what was broken is repaired, and in the long run every possible fault happens."""
    steps = list(islice(Faults(3, 5), 3000))
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    broken: set[str] = set()
    for step in steps:
        if step.is_repair:
            broken.remove(step.target)
        else:
            assert step.target not in broken
            if any(repair for action, repair in PARTS.get(step.target, ()) if action == step.action):
                broken.add(step.target)
        if step.target.startswith("c0"):
            assert step.action == "die" or "engine" not in broken
    possible = {action for faults in PARTS.values() for action, _ in faults} | {"rename"}
    possible |= {action for transitions in TRANSITIONS.values() for action in transitions}
    assert possible <= {step.action for step in steps}
