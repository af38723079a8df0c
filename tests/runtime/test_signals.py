"""Signals, in a process of their own: the test must not end itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CODE = """
import signal
from agent.runtime.cancel import CancelToken
from agent.runtime.signals import ending_signals
ending = CancelToken()
with ending_signals(ending):
    print("ready", flush=True)
    print("ending" if ending.wait(60) else "woken", flush=True)
    CancelToken().wait({after})
print("restored" if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else "kept", flush=True)
"""

Start = Callable[[float], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a process, which handles signals and lives for so many seconds after the first."""
    processes: list[subprocess.Popen[str]] = []

    def run(after: float) -> "subprocess.Popen[str]":
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.Popen(
            [sys.executable, "-c", CODE.format(after=after)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_sets_the_token(start: Start, number: signal.Signals) -> None:
    """Afterwards the earlier handlers are back."""
    process = start(0)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert output == "ending\nrestored\n"
    assert process.returncode == 0


def test_the_second_signal_kills(start: Start) -> None:
    """Even if the agent cannot end in order."""
    process = start(60)
    process.send_signal(signal.SIGTERM)
    assert process.stdout
    assert process.stdout.readline() == "ending\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM


def test_a_hangup_is_logged_and_ends_nothing(start: Start) -> None:
    """The configuration is read at the start only."""
    process = start(0)
    process.send_signal(signal.SIGHUP)
    assert process.stderr
    assert "restart the agent to apply changes" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert output == "ending\nrestored\n"
