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
from agent.runtime.signals import ReloadRequest, agent_signals
ending = CancelToken()
reload = ReloadRequest(ending)
with agent_signals(ending, reload):
    print("ready", flush=True)
    while not ending.wait(60):
        print("reload" if reload.take() else "woken", reload.take(), flush=True)
    print("ending", flush=True)
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


def test_a_hangup_asks_for_a_reload_and_wakes_the_main_thread(start: Start) -> None:
    """It ends nothing, and is there to be taken once."""
    process = start(0)
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        assert process.stdout
        assert process.stdout.readline() == "reload False\n"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert output == "ending\nrestored\n"
