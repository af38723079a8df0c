"""One measurement of one candidate: the cost for the engine, the candidate itself, the broker and the whole host."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import accounting
from benchmarks.progress import wait
from benchmarks.testbed import Testbed

NS_PER_SECOND = 1_000_000_000
BROKER_REPORT_SECONDS = 1.2  # the broker publishes its counters once a second


@dataclass(frozen=True, slots=True)
class Measurement:
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
        """Return the measurement for the file of results."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _CpuTimes:
    """CPU times at one moment, in ns."""

    time: int
    engine: int
    client: int
    broker: int
    host: int


def measure(testbed: Testbed, client: Callable[[], set[int]], seconds: float) -> Measurement:
    """Measure for so many seconds; `client` returns the processes of the candidate."""
    before = _cpu_times(testbed, client())
    wait(BROKER_REPORT_SECONDS)
    traffic_before = testbed.traffic.received()
    wait(before.time / NS_PER_SECOND + seconds - time.monotonic())
    pids = client()
    after = _cpu_times(testbed, pids)
    peak, rss = accounting.memory(pids), accounting.memory(pids, "VmRSS")
    wait(BROKER_REPORT_SECONDS)
    traffic = testbed.traffic.received()
    span = after.time - before.time
    rates = {name: (traffic[name] - traffic_before[name]) * NS_PER_SECOND / span for name in traffic}
    return Measurement(
        seconds=span / NS_PER_SECOND,
        engine=(after.engine - before.engine) / span,
        client=(after.client - before.client) / span,
        broker=(after.broker - before.broker) / span,
        host=(after.host - before.host) / span,
        peak=peak,
        rss=rss,
        **rates,
    )


def _cpu_times(testbed: Testbed, client: set[int]) -> _CpuTimes:
    engine = testbed.engine_processes()
    return _CpuTimes(
        time=time.monotonic_ns(),
        host=accounting.host(),
        engine=accounting.cpu(engine),
        client=accounting.cpu(client),
        broker=accounting.cpu({testbed.broker.pid}),
    )
