"""One candidate over one stretch of time: what it cost the engine, itself, the broker and the whole host."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import accounting
from benchmarks.progress import wait
from benchmarks.stage import Stage

SECOND = 1_000_000_000
TOLD = 1.2  # seconds after which the broker's own figures are of a moment ago


@dataclass(frozen=True, slots=True)
class Window:
    """CPU in cores (1 is one core busy all the time), memory in bytes, traffic per second."""

    seconds: float
    engine: float
    client: float
    broker: float
    host: float
    peak: int
    rss: int
    messages: float
    payload: float
    wire: float

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was counted by one moment, in ns."""

    time: int
    engine: int
    client: int
    broker: int
    host: int


def measure(stage: Stage, client: Callable[[], set[int]], seconds: float) -> Window:
    """Measure for so long; `client` tells which processes the candidate consists of."""
    before = _look(stage, client())
    wait(TOLD)
    traffic = stage.traffic.received()
    wait(before.time / SECOND + seconds - time.monotonic())
    pids = client()
    after = _look(stage, pids)
    peak, rss = accounting.memory(pids), accounting.memory(pids, "VmRSS")
    wait(TOLD)
    more = stage.traffic.received()
    span = after.time - before.time
    return Window(
        seconds=span / SECOND,
        engine=(after.engine - before.engine) / span,
        client=(after.client - before.client) / span,
        broker=(after.broker - before.broker) / span,
        host=(after.host - before.host) / span,
        peak=peak,
        rss=rss,
        **{name: (more[name] - traffic[name]) * SECOND / span for name in ("messages", "payload", "wire")},
    )


def _look(stage: Stage, client: set[int]) -> _Look:
    engine = stage.engine_processes()
    return _Look(
        time=time.monotonic_ns(),
        host=accounting.host(),
        engine=accounting.cpu(engine),
        client=accounting.cpu(client),
        broker=accounting.cpu({stage.broker.pid}),
    )
