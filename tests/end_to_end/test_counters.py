"""The agent's counters: figures over all containers of a real engine, and of the machine."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE
from support.fakes.engine import FakeEngine

from agent.kernel.machine import cpu_percent, parse_cpu_times

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

BUSY = ("sh", "-c", "while :; do :; done")


def test_figures_over_all_containers(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Stopped and unhealthy ones are counted, and the last usages of those that run are summed."""
    broker = own_broker()
    subscriber = record(broker)
    running = ("busy", "idle", "sick")
    engine.run(*BUSY, name="busy", cpus=0.5)
    engine.run(name="idle")
    engine.run(name="sick", health_cmd="false", health_interval="1s", health_retries=1)
    engine.run("true", name="job")
    engine.run("true", name="left-out")
    start_agent(engine, broker, engine={"exclude": ["left-*"]})
    for name in running:
        subscriber.usages(name)
    counters = subscriber.wait_for_on(
        f"{ROOT}/agent", lambda message: message.json["unhealthy"] == 1, PATIENCE, 1, time.monotonic()
    )[0].json
    assert (counters["containers"], counters["stopped"], counters["silent"]) == (3, 1, 0)
    now = time.monotonic()
    usages = {name: subscriber.usages(name, after=now) and subscriber.usages(name) for name in running}
    for total, part, field in (("cpu_percent", "cpu", "percent"), ("memory_used", "memory", "used")):
        values = [[usage[part][field] for usage in usages[name]] for name in running]
        least, most = sum(map(min, values)), sum(map(max, values))
        assert least - 0.01 <= counters["total"][total] <= most + 0.01, (total, values)
    assert counters["total"]["cpu_percent"] > 1


def uptime() -> float:
    """Return the machine's uptime, seconds."""
    return float(Path("/proc/uptime").read_text().split()[0])


def test_figures_of_the_machine_are_those_of_proc(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """The first counters have a CPU share already; the shares of several intervals are that of the whole time."""
    broker = own_broker()
    subscriber = record(broker)
    booted = uptime()
    start_agent(fake_engine, broker)
    first = subscriber.counters()["machine"]
    assert set(first) == {"cpu_percent", "memory_used", "memory_total", "load_1m", "uptime"}
    before, begun = parse_cpu_times(Path("/proc/stat").read_bytes()), time.monotonic()
    machine = [message.json["machine"] for message in subscriber.on(f"{ROOT}/agent", count=10, after=begun)]
    share = cpu_percent(before, parse_cpu_times(Path("/proc/stat").read_bytes()))
    assert sum(one["cpu_percent"] for one in machine) / len(machine) == pytest.approx(share, abs=25)
    sizes = dict(line.split()[:2] for line in Path("/proc/meminfo").read_text().splitlines())
    assert machine[-1]["memory_total"] == int(sizes["MemTotal:"]) * 1024
    used = (int(sizes["MemTotal:"]) - int(sizes["MemAvailable:"])) * 1024
    assert machine[-1]["memory_used"] == pytest.approx(used, rel=0.5)
    assert machine[-1]["load_1m"] == pytest.approx(float(Path("/proc/loadavg").read_text().split()[0]), abs=5)
    moments = [booted, first["uptime"], *(one["uptime"] for one in machine), uptime()]
    assert moments == sorted(moments)


def test_machine_of_a_remote_engine_is_not_published(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """The agent's machine is not the one that the containers run on."""
    broker = own_broker()
    subscriber = record(broker)
    start_agent(fake_engine, broker, engine={"url": "tcp://127.0.0.1:1"})
    counters = subscriber.counters()
    assert counters["total"] == {"cpu_percent": 0, "memory_used": 0}
    assert "machine" not in counters
