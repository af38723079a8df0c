"""What more containers cost: the agent on a fake engine, from ten containers to thousands."""

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from parts.mosquitto import Mosquitto
from parts.processes import NotReadyError, wait_until
from parts.subscriber import Subscriber

from benchmarks import accounting, listener
from benchmarks.candidates import HOST, ROOT, run_agent
from benchmarks.lateness import lateness, quantile, share_within
from benchmarks.limits import raise_descriptors
from benchmarks.programs import Program, clean_environment
from benchmarks.progress import say, wait
from benchmarks.stage import open_broker

SECOND = 1_000_000_000
LIMIT = 0.1  # seconds that a usage may be late
PATIENCE = 180.0  # seconds for all containers to have published
SOURCES = {10: "poll", 1: "stream"}
"""The cheaper call at each interval, as the agent's `auto` chooses between these two."""


def grow(sizes: Iterable[int], intervals: Iterable[float], seconds: float) -> list[dict[str, Any]]:
    """Return what the agent needed at each size and interval."""
    raise_descriptors()
    found = []
    for interval in intervals:
        for size in sizes:
            try:
                one = _measure(size, interval, max(3 * interval, seconds))
            except NotReadyError as error:
                say(f"{size} containers every {interval:g} s are too many here: {error}")
                continue
            found.append(one)
            say(
                f"{size} containers every {interval:g} s: {one['cpu']:.1%} of a core, {one['per_usage'] * 1e6:.0f} us "
                f"a usage, {one['peak'] / 1e6:.0f} MB, {one['dropped']} dropped, "
                f"{one['on_time']:.1%} within {LIMIT * 1000:.0f} ms"
            )
    return found


def _measure(size: int, interval: float, seconds: float) -> dict[str, Any]:
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
        wait(max(interval, 5))
        begin, before = time.time_ns(), told.messages[-1].json["outbox"]
        cpu, clock = accounting.cpu(agent.pids), time.monotonic_ns()
        wait(seconds)
        used, span = accounting.cpu(agent.pids) - cpu, time.monotonic_ns() - clock
        peak = accounting.memory(agent.pids)
        end = time.time_ns()
        told.on(f"containers/{HOST}/agent", timeout=60 + interval, after=time.monotonic())
        last = told.messages[-1].json
        ear.close()
        usages = [each for each in listener.read(heard) if begin <= each.arrived < end]
        late = lateness(usages, interval)
        return {
            "containers": size,
            "interval": interval,
            "source": SOURCES[int(interval)],
            "cpu": used / span,
            "usages": len(usages),
            "per_usage": used / SECOND / max(1, len(usages)),
            "peak": peak,
            "dropped": last["outbox"]["dropped"] - before["dropped"],
            "threads": last["process"]["threads"],
            "on_time": share_within(late, LIMIT),
            "late_99": quantile(late, 0.99) if late else None,
            "complete": len(usages) * interval * SECOND / span / size,
        }


def _settle(told: Subscriber, agent: Program, size: int) -> None:
    """Wait until every container is collected and has published."""

    def settled() -> bool:
        if not agent.running:
            raise SystemExit(f"error: the agent has ended:\n{agent.output[-2000:]}")
        last = told.messages[-1].json if told.messages else None
        return bool(last and last["containers"] == size and last["outbox"]["sent"] >= size)

    wait_until(settled, PATIENCE, f"{size} containers have not all published; the agent's log:\n{agent.output[-2000:]}")


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
