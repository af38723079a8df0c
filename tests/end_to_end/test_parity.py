"""Parity of the published usages with `docker stats`, field by field, on a real engine."""

import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Received

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

pytestmark = pytest.mark.engine

TOLERANCE = 0.05  # relative; `docker stats` rounds to three digits
SAMPLES = 5  # calls of `docker stats`, of two seconds each

UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
THEN_IDLE = "echo at rest; sleep 2147483647; true"  # counters are compared after they have stopped growing
CACHE = "dd if=/dev/zero of=/tmp/file bs=1M count=64"
DISK = """for side in "if=/dev/zero of=/disk/file oflag" "if=/disk/file of=/dev/null iflag"; do
dd $side=direct bs=1M count=64 || dd ${side% *} bs=1M count=64
done"""
CHANGING = {
    "busy": "while :; do :; done",
    "memory-heavy": f"{CACHE}; x=$(head -c 30000000 /dev/zero | tr '\\0' x); {THEN_IDLE}",
    "disk-busy": f"{DISK}; {THEN_IDLE}",
    "network-busy": f"for n in 1 2 3 4 5; do wget -q -O /dev/null http://$SERVER/file || exit; done; {THEN_IDLE}",
}


@pytest.fixture(scope="module")
def busy_engine(session_path: Path) -> Iterator[PrivateEngine]:
    """Yield an engine with containers that have used CPU, memory, disk and network."""
    bridge = f"ua{uuid.uuid4().hex[:8]}"
    ip("link", "add", "name", bridge, "type", "bridge")
    engine = PrivateEngine(session_path / "busy-engine", f"--bridge={bridge}", "--ip-forward=false")
    try:
        ip("address", "add", f"172.31.{os.getpid() % 250}.1/24", "dev", bridge)
        engine.start()
        start_workloads(engine)
        yield engine
    finally:
        engine.close()
        ip("link", "delete", bridge)


def start_workloads(engine: PrivateEngine) -> None:
    """Start the containers, and wait until all but `busy` are idle."""
    served = "mkdir -p /www; dd if=/dev/zero of=/www/file bs=1M count=8; exec httpd -f -h /www"
    server = engine.run("sh", "-c", served, name="server", network="bridge")
    address = engine.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", server)
    download = "{ wget -q -O /dev/null http://localhost/file; }"
    wait_until(lambda: not engine.docker("exec", server, "sh", "-c", f"{download} || echo no"), PATIENCE, "no server")
    disk = engine.directory / "disk"
    disk.mkdir()
    options: dict[str, dict[str, Any]] = {
        # Short pauses, so that the usage of a second hardly depends on where that second begins. Not by a shorter
        # period: each pause adds to the host's CPU time in ticks, by which `docker stats` divides (8 % at 10 ms).
        "busy": {"cpu_quota": 80_000, "cpu_shares": 8192},
        "memory-heavy": {"memory": "200m"},
        "disk-busy": {"volume": [f"{disk}:/disk"], **rate_limit(disk)},
        "network-busy": {"network": "bridge", "env": {"SERVER": address}},
    }
    for name, command in CHANGING.items():
        engine.run("sh", "-c", command, name=name, **options[name])
    for name in set(CHANGING) - {"busy"}:
        wait_until(partial(is_idle, engine, name), PATIENCE, f"{name} does not become idle")


def is_idle(engine: PrivateEngine, name: str) -> bool:
    """Return whether a container has finished its work."""
    return "at rest" in engine.docker("logs", name)


def rate_limit(directory: Path) -> dict[str, str]:
    """Return a high write limit for the disk of a directory, if it is on one: cgroup v1 counts limited disks only."""
    number = directory.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not device.exists():
        return {}
    disk = device.resolve().parent if (device / "partition").exists() else device.resolve()
    return {"device_write_bps": f"/dev/{disk.name}:1gb"}


def ip(*arguments: str) -> None:
    """Change the machine's network configuration."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def number(figure: str) -> float:
    """Parse a number with a unit: `512B`, `1.84MiB`, `818MB`, `12.3kB`, `0.31%`."""
    found = re.fullmatch(r"([0-9.]+(?:e[+]?[0-9]+)?)(?:([kMGKi]*)B|%)?", figure)
    assert found, f"docker stats shows {figure!r}"
    return float(found[1]) * UNITS[found[2] or ""]


def docker_stats(engine: PrivateEngine) -> dict[str, dict[str, float]]:
    """Return the numbers of `docker stats` now, by container and by the agent's field names."""
    table = {}
    for line in engine.docker("stats", "--no-stream", "--format", "{{json .}}").splitlines():
        row = json.loads(line)
        used, limit = row["MemUsage"].split(" / ")
        received, sent = row["NetIO"].split(" / ")
        read, written = row["BlockIO"].split(" / ")
        table[row["Name"]] = {
            "cpu.percent": number(row["CPUPerc"]),
            "memory.used": number(used),
            "memory.limit": number(limit),
            "memory.percent": number(row["MemPerc"]),
            "network.rx_bytes": number(received),
            "network.tx_bytes": number(sent),
            "block_io.read_bytes": number(read),
            "block_io.write_bytes": number(written),
            "pids.current": number(row["PIDs"]),
        }
    return table


@dataclass(frozen=True, slots=True)
class StatsSample:
    """The output of one call of `docker stats`, with its begin and end (monotonic)."""

    began: float
    ended: float
    table: dict[str, dict[str, float]]


def published(usage: Any, name: str) -> float:
    """Return a field of a usage; 0 if it is not measured, as in `docker stats`."""
    group, field = name.split(".")
    return float(usage.get(group, {}).get(field, 0))


def take_sample(engine: PrivateEngine) -> StatsSample:
    """Call `docker stats` once."""
    began = time.monotonic()
    table = docker_stats(engine)
    return StatsSample(began, time.monotonic(), table)


def difference(name: str, figure: str, samples: list[StatsSample], usages: list[Received]) -> str | None:
    """Describe how a field differs, or return None.

    Each sample is compared with the nearest usage of its seconds: `docker stats` shows the last of them.
    """
    differences = []
    for sample in samples:
        expected = sample.table[name][figure]
        candidates = [
            published(usage.json, figure) for usage in usages if sample.began < usage.arrived < sample.ended + 2
        ]
        nearest = min(candidates, key=lambda figure, expected=expected: abs(figure - expected))  # type: ignore[misc]
        rounded = 0.02 if "percent" in figure else 0  # percentages have two decimals
        differences.append((max(0, abs(nearest - expected) - rounded) / (expected or 1), expected, nearest))
    share, expected, nearest = sorted(differences)[len(differences) // 2]
    return f"{name}: {figure} is {expected:g} in docker stats, {nearest:g} here" if share > TOLERANCE else None


@pytest.mark.parametrize("source", ["stream", "poll"])
def test_parity_with_docker_stats(
    busy_engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, source: str
) -> None:
    """The numbers of `docker stats` are published in the same seconds; all but the CPU are constant."""
    broker = own_broker()
    subscriber = record(broker)
    start_agent(busy_engine, broker, engine={"source": source})
    for name in CHANGING:
        subscriber.usages(name)
    samples = [take_sample(busy_engine) for _ in range(SAMPLES)]
    last, different = {}, []
    for name in CHANGING:
        subscriber.usages(name, after=samples[-1].ended)  # so that every second of all samples has a usage
        usages = subscriber.on(f"{ROOT}/{name}/usage")
        last[name] = usages[-1].json
        different += [difference(name, figure, samples, usages) for figure in samples[0].table[name]]
    assert not any(different), "\n".join(filter(None, different))
    assert last["busy"]["cpu"]["percent"] > 0
    assert last["memory-heavy"]["memory"]["used"] > 30e6
    if rate_limit(busy_engine.directory):
        assert last["disk-busy"]["block_io"]["write_bytes"] >= 64 << 20
    assert last["network-busy"]["network"]["rx_bytes"] > 40e6
