"""How the agent's costs grow with the number of containers: from ten to thousands, on a fake engine."""

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
from benchmarks.comparison import rotate
from benchmarks.lateness import lateness, quantile, share_within
from benchmarks.limits import raise_descriptor_limit
from benchmarks.programs import Program, clean_environment
from benchmarks.progress import log_progress, wait
from benchmarks.testbed import start_broker

NS_PER_SECOND = 1_000_000_000
MAX_LATE_SECONDS = 0.1  # a usage that arrives later is late
FIRST_USAGES_SECONDS = 180.0  # until every container must have published
SETTLE_SECONDS = 5.0  # from then to the measurement
MIN_MEASUREMENT_SECONDS = 10.0
SOURCES = {10: "poll", 1: "stream"}
"""The source that costs less at each interval; the agent's `auto` chooses the same of these two."""


def measure_growth(sizes: Sequence[int], intervals: Sequence[float], rounds: int) -> Iterator[list[dict[str, Any]]]:
    """Yield after each round the results at each size and interval: the medians of the rounds so far."""
    raise_descriptor_limit()
    measurements: dict[tuple[float, int], list[dict[str, Any]]] = {pair: [] for pair in product(intervals, sizes)}
    for number in range(rounds):
        for interval, size in rotate(tuple(measurements), number):
            label = f"round {number + 1} of {rounds}, {size} containers every {interval:g} s"
            try:
                result = _measure(size, interval)
            except NotReadyError as error:
                log_progress(f"{label} are too many here: {error}")
                continue
            measurements[interval, size].append(result)
            log_progress(
                f"{label}: {result['cpu']:.1%} of a core, {result['per_usage'] * 1e6:.0f} us a usage, "
                f"{result['peak'] / 1e6:.0f} MB, {result['dropped']} dropped, "
                f"{result['on_time']:.1%} within {MAX_LATE_SECONDS * 1000:.0f} ms"
            )
        yield [
            {"containers": size, "interval": interval, "source": SOURCES[int(interval)], **summarize(found)}
            for (interval, size), found in measurements.items()
            if found
        ]


def summarize(measurements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of the measurements; of dropped usages the sum."""
    medians = {name: median(each[name] for each in measurements) for name in measurements[0]}
    return {**medians, "dropped": sum(each["dropped"] for each in measurements)}


def _measure(size: int, interval: float) -> dict[str, Any]:
    """Start everything, and measure once."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ua-bench-")))
        broker = stack.enter_context(_broker(directory))
        socket = directory / "engine.sock"
        engine = _python(stack, directory / "engine", "benchmarks.fast_engine", str(socket), str(size))
        usages_file = directory / "usages"
        subscriber = _python(stack, directory / "listener", "benchmarks.listener", str(broker.port), str(usages_file))
        wait_until(lambda: socket.exists() or not engine.running, 30, "the fake engine does not answer")
        agent = run_agent(SOURCES[int(interval)], f"unix://{socket}", broker.url, interval, directory / "agent")
        stack.callback(agent.close)
        counters = Subscriber(broker.url, f"containers/{HOST}/agent")
        stack.callback(counters.close)
        _settle(counters, agent, size)
        wait(SETTLE_SECONDS)
        begin, before = time.time_ns(), counters.messages[-1].json["outbox"]
        cpu, clock = accounting.cpu(agent.pids), time.monotonic_ns()
        wait(max(2 * interval, MIN_MEASUREMENT_SECONDS))
        used, span = accounting.cpu(agent.pids) - cpu, time.monotonic_ns() - clock
        peak = accounting.memory(agent.pids)
        end = time.time_ns()
        counters.on(f"containers/{HOST}/agent", timeout=60 + interval, after=time.monotonic())
        last = counters.messages[-1].json
        subscriber.close()
        usages = [each for each in listener.read(usages_file) if begin <= each.arrived < end]
        late = lateness(usages, interval)
        return {
            "cpu": used / span,
            "usages": len(usages),
            "per_usage": used / NS_PER_SECOND / max(1, len(usages)),
            "peak": peak,
            "dropped": last["outbox"]["dropped"] - before["dropped"],
            "threads": last["process"]["threads"],
            "on_time": share_within(late, MAX_LATE_SECONDS),
            "late_99": quantile(late, 0.99) if late else inf,
            "complete": len(usages) * interval * NS_PER_SECOND / span / size,
        }


def _settle(counters: Subscriber, agent: Program, size: int) -> None:
    """Wait until every container has a collector and has published."""

    def settled() -> bool:
        if not agent.running:
            raise SystemExit(f"error: the agent has ended:\n{agent.output[-2000:]}")
        last = counters.messages[-1].json if counters.messages else None
        return bool(last and last["containers"] == size and last["outbox"]["sent"] >= size)

    try:
        wait_until(settled, FIRST_USAGES_SECONDS, f"{size} containers have not all published")
    except NotReadyError as error:
        published = counters.messages[-1].payload.decode() if counters.messages else "nothing"
        raise NotReadyError(
            f"{error}; its last counters are {published}, and it logged:\n{agent.output[-2000:]}"
        ) from error


def _python(stack: ExitStack, directory: Path, module: str, *arguments: str) -> Program:
    environment = clean_environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    program = Program(directory, [sys.executable, "-m", module, *arguments], environment, output=True)
    stack.callback(program.close)
    return program


@contextmanager
def _broker(directory: Path) -> Iterator[Mosquitto]:
    broker = start_broker(directory / "broker")
    try:
        yield broker
    finally:
        broker.close()
