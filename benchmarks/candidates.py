"""Who is measured, as data: how each is started, and how long it takes until it works steadily."""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.daemons.agent import to_toml

from agent.config import ConfigError, load
from benchmarks.programs import Program, clean_environment
from benchmarks.rivals import Rival, installed
from benchmarks.stage import Stage

HOST = "bench"
ROOT = Path(__file__).parents[1]

Start = Callable[[Stage, float, Path], Program]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of those compared. `ours`: a source of the agent. `warm_up`: seconds before the first window, at least.

    `intervals`: those at which it can be compared.
    """

    name: str
    title: str
    start: Start
    ours: bool = False
    publishes: bool = True
    warm_up: float = 10
    intervals: tuple[float, ...] = (10, 1)


def accepts(source: str) -> bool:
    """Say whether the agent has a source of this name."""
    try:
        load(Path(os.devnull), {"USAGE_AGENT_ENGINE__SOURCE": source})
    except ConfigError:
        return False
    return True


def run_agent(source: str, engine_url: str, broker_url: str, interval: float, directory: Path) -> Program:
    """Start the agent, with nothing but this set."""
    return _agent(source, engine_url, broker_url, interval, directory)


def _agent(
    source: str, engine_url: str, broker_url: str, interval: float, directory: Path, *options: str, output: bool = False
) -> Program:
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "config.toml"
    config.write_text(
        to_toml(
            {
                "agent": {"host": HOST, "interval": interval},
                "engine": {"url": engine_url, "source": source},
                "broker": {"url": broker_url},
            }
        )
    )
    command = [sys.executable, "-m", "agent", "run", "--config", str(config), *options]
    return Program(directory, command, clean_environment() | {"PYTHONPATH": str(ROOT)}, output=output)


def _ours(source: str) -> Candidate:
    def start(stage: Stage, interval: float, directory: Path) -> Program:
        return run_agent(source, stage.engine.url, stage.broker.url, interval, directory)

    return Candidate(source, f"usage-agent, `{source}`", start, ours=True)


def _docker_stats(stage: Stage, _interval: float, directory: Path) -> Program:
    return Program(directory, ["docker", "stats"], stage.engine.environment)


def _docker2mqtt(stage: Stage, interval: float, directory: Path) -> Program:
    command = [str(installed(Rival.DOCKER2MQTT) / "docker2mqtt"), "--name", HOST, "--client", "docker2mqtt"]
    command += ["--host", "127.0.0.1", "--port", str(stage.broker.port), "--qos", "1"]
    command += ["--events", "--stats", "--interval", f"{interval:g}"]
    return Program(directory, command, stage.engine.environment, output=True)


def _glances(stage: Stage, interval: float, directory: Path) -> Program:
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "glances.conf"
    # One message a container, as ours; by default it publishes each figure for itself, which costs more.
    config.write_text(
        f"[global]\ncheck_update=false\n[mqtt]\nhost=127.0.0.1\nport={stage.broker.port}\ntls=false\n"
        f"user=bench\npassword=bench\ndevicename={HOST}\ntopic=glances\ntopic_structure=per-plugin\n"
    )
    command = [str(installed(Rival.GLANCES) / "glances"), "-C", str(config), "--quiet", "--time", f"{interval:g}"]
    command += ["--disable-plugin", "all", "--enable-plugin", "containers", "--export", "mqtt"]
    return Program(directory, command, {**stage.engine.environment, "HOME": str(directory)}, output=True)


@cache
def _usage_bytes(stage: Stage) -> int:
    """Return how many bytes the agent publishes of a container of this stage, for the floor to publish as many."""
    with tempfile.TemporaryDirectory(prefix="ua-bench-") as directory:
        program = _agent(
            "auto", stage.engine.url, "mqtt://127.0.0.1", 1, Path(directory), "--once", "--dry-run", output=True
        )
        try:
            program.wait(60)
            lines = program.output.splitlines()
        finally:
            program.close()
    payloads = [line.partition(" ")[2] for line in lines if line.partition(" ")[0].endswith("/usage")]
    return sum(len(payload.encode()) for payload in payloads) // len(payloads)


def _floor(stage: Stage, interval: float, directory: Path) -> Program:
    containers = [f"{pid}:{name}" for name, pid in stage.pids.items()]
    command = [
        sys.executable,
        "-m",
        "benchmarks.floor",
        str(stage.broker.port),
        f"{interval:g}",
        str(_usage_bytes(stage)),
    ]
    return Program(directory, [*command, *containers], clean_environment() | {"PYTHONPATH": str(ROOT)}, output=True)


SOURCES = ("stream", "poll", "kernel")


def candidates() -> list[Candidate]:
    """Return all, ours first."""
    return [
        *(_ours(source) for source in SOURCES if accepts(source)),
        Candidate("docker-stats", "`docker stats`", _docker_stats, publishes=False),
        Candidate("docker2mqtt", "docker2mqtt 2.3.1", _docker2mqtt, warm_up=20, intervals=(10,)),
        Candidate("glances", "Glances 4.5.8", _glances, warm_up=30, intervals=(10,)),
        Candidate("floor", "the floor", _floor),
    ]
