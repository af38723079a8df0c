"""What is published equals what `docker stats` shows, figure by figure, on a real engine."""

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

Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

pytestmark = pytest.mark.engine

EQUAL = 0.05  # as a share; `docker stats` rounds to three digits
SAMPLES = 5  # of `docker stats`, which takes two seconds for each

UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
REST = "echo at rest; sleep 2147483647; true"  # what moves is compared after it has stopped moving
CACHE = "dd if=/dev/zero of=/tmp/file bs=1M count=64"
DISK = """for side in "if=/dev/zero of=/disk/file oflag" "if=/disk/file of=/dev/null iflag"; do
dd $side=direct bs=1M count=64 || dd ${side% *} bs=1M count=64
done"""
CHANGING = {
    "busy": "while :; do :; done",
    "memory-heavy": f"{CACHE}; x=$(head -c 30000000 /dev/zero | tr '\\0' x); {REST}",
    "disk-busy": f"{DISK}; {REST}",
    "network-busy": f"for n in 1 2 3 4 5; do wget -q -O /dev/null http://$SERVER/file || exit; done; {REST}",
}


@pytest.fixture(scope="module")
def busy_engine(session_path: Path) -> Iterator[PrivateEngine]:
    """Give an engine with containers that have used each thing that there is to use."""
    bridge = f"ua{uuid.uuid4().hex[:8]}"
    ip("link", "add", "name", bridge, "type", "bridge")
    engine = PrivateEngine(session_path / "busy-engine", f"--bridge={bridge}", "--ip-forward=false")
    try:
        ip("address", "add", f"172.31.{os.getpid() % 250}.1/24", "dev", bridge)
        engine.start()
        start_all(engine)
        yield engine
    finally:
        engine.close()
        ip("link", "delete", bridge)


def start_all(engine: PrivateEngine) -> None:
    """Start the containers, and wait until those that come to rest have."""
    served = "mkdir -p /www; dd if=/dev/zero of=/www/file bs=1M count=8; exec httpd -f -h /www"
    server = engine.run("sh", "-c", served, name="server", network="bridge")
    address = engine.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", server)
    reached = "{ wget -q -O /dev/null http://localhost/file; }"
    wait_until(lambda: not engine.docker("exec", server, "sh", "-c", f"{reached} || echo no"), PATIENCE, "no server")
    disk = engine.directory / "disk"
    disk.mkdir()
    options: dict[str, dict[str, Any]] = {
        # Little rest, so that what falls into a second hardly depends on where that begins. Not by a short period:
        # each rest adds to the host's CPU time, counted in ticks, and `docker stats` divides by that (8 % at 10 ms).
        "busy": {"cpu_quota": 80_000, "cpu_shares": 8192},
        "memory-heavy": {"memory": "200m"},
        "disk-busy": {"volume": [f"{disk}:/disk"], **rate_limit(disk)},
        "network-busy": {"network": "bridge", "env": {"SERVER": address}},
    }
    for name, command in CHANGING.items():
        engine.run("sh", "-c", command, name=name, **options[name])
    for name in set(CHANGING) - {"busy"}:
        wait_until(partial(at_rest, engine, name), PATIENCE, f"{name} does not come to rest")


def at_rest(engine: PrivateEngine, name: str) -> bool:
    """Say whether a container has done all that it has to do."""
    return "at rest" in engine.docker("logs", name)


def rate_limit(directory: Path) -> dict[str, str]:
    """Limit writing to the disk that a directory is on, if it is on one: without, cgroup v1 counts no block I/O."""
    number = directory.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not device.exists():
        return {}
    disk = device.resolve().parent if (device / "partition").exists() else device.resolve()
    return {"device_write_bps": f"/dev/{disk.name}:1gb"}


def ip(*arguments: str) -> None:
    """Change the machine's network."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def number(figure: str) -> float:
    """What a figure for people stands for: `512B`, `1.84MiB`, `818MB`, `12.3kB`, `0.31%`."""
    found = re.fullmatch(r"([0-9.]+(?:e[+]?[0-9]+)?)(?:([kMGKi]*)B|%)?", figure)
    assert found, f"docker stats shows {figure!r}"
    return float(found[1]) * UNITS[found[2] or ""]


def shown(engine: PrivateEngine) -> dict[str, dict[str, float]]:
    """What `docker stats` shows now, by container, under the names that the agent uses."""
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
class Look:
    """What `docker stats` showed; when it was asked and when it had answered, monotonic."""

    began: float
    ended: float
    table: dict[str, dict[str, float]]


def published(usage: Any, name: str) -> float:
    """A figure of a usage; what is not measured `docker stats` shows as 0."""
    group, field = name.split(".")
    return float(usage.get(group, {}).get(field, 0))


def look(engine: PrivateEngine) -> Look:
    """Look at `docker stats` once."""
    began = time.monotonic()
    table = shown(engine)
    return Look(began, time.monotonic(), table)


def difference(name: str, figure: str, looks: list[Look], usages: list[Received]) -> str | None:
    """Say how a figure differs; a look is compared with the usages of its seconds, of which it shows the last."""
    differences = []
    for seen in looks:
        theirs = seen.table[name][figure]
        ours = [published(usage.json, figure) for usage in usages if seen.began < usage.arrived < seen.ended + 2]
        nearest = min(ours, key=lambda figure, theirs=theirs: abs(figure - theirs))  # type: ignore[misc]
        rounded = 0.02 if "percent" in figure else 0  # percent are shown with two digits after the point
        differences.append((max(0, abs(nearest - theirs) - rounded) / (theirs or 1), theirs, nearest))
    share, theirs, nearest = sorted(differences)[len(differences) // 2]
    return f"{name}: {figure} is {theirs:g} in docker stats, {nearest:g} here" if share > EQUAL else None


@pytest.mark.parametrize("source", ["stream", "poll"])
def test_parity_with_docker_stats(
    busy_engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View, source: str
) -> None:
    """What `docker stats` shows is published in the same seconds; all but the CPU is at rest."""
    broker = own_broker()
    viewer = view(broker)
    watch(busy_engine, broker, engine={"source": source})
    for name in CHANGING:
        viewer.usages(name)
    looks = [look(busy_engine) for _ in range(SAMPLES)]
    last, different = {}, []
    for name in CHANGING:
        viewer.usages(name, after=looks[-1].ended)  # one for each second of every look
        usages = viewer.on(f"{ROOT}/{name}/usage")
        last[name] = usages[-1].json
        different += [difference(name, figure, looks, usages) for figure in looks[0].table[name]]
    assert not any(different), "\n".join(filter(None, different))
    assert last["busy"]["cpu"]["percent"] > 0
    assert last["memory-heavy"]["memory"]["used"] > 30e6
    if rate_limit(busy_engine.directory):
        assert last["disk-busy"]["block_io"]["write_bytes"] >= 64 << 20
    assert last["network-busy"]["network"]["rx_bytes"] > 40e6
