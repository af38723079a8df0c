"""What more containers cost: the agent on a fake engine, from ten containers to thousands."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import NotReadyError, wait_until
from support.daemons.subscriber import Subscriber

from benchmarks import accounting, listener
from benchmarks.candidates import HOST, ROOT, run_agent
from benchmarks.lateness import lateness, quantile, share_within
from benchmarks.limits import raise_descriptors
from benchmarks.programs import Program, clean_environment
from benchmarks.progress import say, wait
from benchmarks.rounds import rotated
from benchmarks.stage import open_broker

SECOND = 1_000_000_000
LIMIT = 0.1  # seconds that a usage may be late
PATIENCE = 180.0  # seconds for all containers to have published
CALM = 5.0  # seconds from then to the window
SHORTEST = 10.0  # seconds of a window
SOURCES = {10: "poll", 1: "stream"}
"""The cheaper call at each interval, as the agent's `auto` chooses between these two."""


def grow(sizes: Sequence[int], intervals: Sequence[float], rounds: int) -> Iterator[list[dict[str, Any]]]:
    """Yield, after each round, what the agent needed at each size and interval: the medians of the rounds so far."""
    raise_descriptors()
    windows: dict[tuple[float, int], list[dict[str, Any]]] = {pair: [] for pair in product(intervals, sizes)}
    for number in range(rounds):
        for interval, size in rotated(tuple(windows), number):
            what = f"round {number + 1} of {rounds}, {size} containers every {interval:g} s"
            try:
                one = _measure(size, interval)
            except NotReadyError as error:
                say(f"{what} are too many here: {error}")
                continue
            windows[interval, size].append(one)
            say(
                f"{what}: {one['cpu']:.1%} of a core, {one['per_usage'] * 1e6:.0f} us a usage, "
                f"{one['peak'] / 1e6:.0f} MB, {one['dropped']} dropped, "
                f"{one['on_time']:.1%} within {LIMIT * 1000:.0f} ms"
            )
        yield [
            {"containers": size, "interval": interval, "source": SOURCES[int(interval)], **summary(found)}
            for (interval, size), found in windows.items()
            if found
        ]


def summary(windows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of the windows; of what was dropped the sum."""
    medians = {name: median(window[name] for window in windows) for name in windows[0]}
    return {**medians, "dropped": sum(window["dropped"] for window in windows)}


def _measure(size: int, interval: float) -> dict[str, Any]:
    """Return one window."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ua-bench-")))
        broker = stack.enter_context(_broker(directory))
        socket = directory / "engine.sock"
        engine = _python(stack, directory / "engine", "benchmarks.fast_engine", str(socket), str(size))
        heard = directory / "heard"
        ear = _python(stack, directory / "ear", "benchmarks.listener", str(broker.port), str(heard))
        wait_until(lambda: socket.exists() or not engine.running, 30, "the fake engine does not answer")
        agent = run_agent(SOURCES[int(interval)], f"unix://{socket}", broker.url, interval, directory / "agent")
        stack.callback(agent.close)
        told = Subscriber(broker.url, f"containers/{HOST}/agent")
        stack.callback(told.close)
        _settle(told, agent, size)
        wait(CALM)
        begin, before = time.time_ns(), told.messages[-1].json["outbox"]
        cpu, clock = accounting.cpu(agent.pids), time.monotonic_ns()
        wait(max(2 * interval, SHORTEST))
        used, span = accounting.cpu(agent.pids) - cpu, time.monotonic_ns() - clock
        peak = accounting.memory(agent.pids)
        end = time.time_ns()
        told.on(f"containers/{HOST}/agent", timeout=60 + interval, after=time.monotonic())
        last = told.messages[-1].json
        ear.close()
        usages = [each for each in listener.read(heard) if begin <= each.arrived < end]
        late = lateness(usages, interval)
        return {
            "cpu": used / span,
            "usages": len(usages),
            "per_usage": used / SECOND / max(1, len(usages)),
            "peak": peak,
            "dropped": last["outbox"]["dropped"] - before["dropped"],
            "threads": last["process"]["threads"],
            "on_time": share_within(late, LIMIT),
            "late_99": quantile(late, 0.99) if late else inf,
            "complete": len(usages) * interval * SECOND / span / size,
        }


def _settle(told: Subscriber, agent: Program, size: int) -> None:
    """Wait until every container is collected and has published."""

    def settled() -> bool:
        if not agent.running:
            raise SystemExit(f"error: the agent has ended:\n{agent.output[-2000:]}")
        last = told.messages[-1].json if told.messages else None
        return bool(last and last["containers"] == size and last["outbox"]["sent"] >= size)

    try:
        wait_until(settled, PATIENCE, f"{size} containers have not all published")
    except NotReadyError as error:
        status = told.messages[-1].payload.decode() if told.messages else "nothing"
        raise NotReadyError(f"{error}; the agent said {status}, and logged:\n{agent.output[-2000:]}") from error


def _python(stack: ExitStack, directory: Path, module: str, *arguments: str) -> Program:
    environment = clean_environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    program = Program(directory, [sys.executable, "-m", module, *arguments], environment, output=True)
    stack.callback(program.close)
    return program


@contextmanager
def _broker(directory: Path) -> Iterator[Mosquitto]:
    broker = open_broker(directory / "broker")
    try:
        yield broker
    finally:
        broker.close()
