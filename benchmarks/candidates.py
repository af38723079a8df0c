"""The candidates that are compared: how each is started, and how long it takes to reach a steady state."""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.daemons.agent import to_toml

from agent.config import ConfigError, load
from benchmarks.competitors import Competitor, install
from benchmarks.programs import Program, clean_environment
from benchmarks.testbed import Testbed

HOST = "bench"
ROOT = Path(__file__).parents[1]

Start = Callable[[Testbed, float, Path], Program]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program that is measured.

    Attributes:
        name: name in the results and on the command line.
        title: name on the page, in Markdown.
        start: starts it, given testbed, interval and a directory.
        is_agent: whether it is usage-agent with one of its sources.
        publishes: whether it publishes to the broker.
        warm_up: seconds from the start to the measurement, at least.
        intervals: the intervals at which it can be compared, in seconds.
    """

    name: str
    title: str
    start: Start
    is_agent: bool = False
    publishes: bool = True
    warm_up: float = 10
    intervals: tuple[float, ...] = (10, 1)


def accepts(source: str) -> bool:
    """Return whether the agent has a source of this name."""
    try:
        load(Path(os.devnull), {"USAGE_AGENT_ENGINE__SOURCE": source})
    except ConfigError:
        return False
    return True


def run_agent(source: str, engine_url: str, broker_url: str, interval: float, directory: Path) -> Program:
    """Start the agent with these settings, and the defaults for all others."""
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


def _agent_candidate(source: str) -> Candidate:
    def start(testbed: Testbed, interval: float, directory: Path) -> Program:
        return run_agent(source, testbed.engine.url, testbed.broker.url, interval, directory)

    return Candidate(source, f"usage-agent, `{source}`", start, is_agent=True)


def _docker_stats(testbed: Testbed, _interval: float, directory: Path) -> Program:
    return Program(directory, ["docker", "stats"], testbed.engine.environment)


def _docker2mqtt(testbed: Testbed, interval: float, directory: Path) -> Program:
    command = [str(install(Competitor.DOCKER2MQTT) / "docker2mqtt"), "--name", HOST, "--client", "docker2mqtt"]
    command += ["--host", "127.0.0.1", "--port", str(testbed.broker.port), "--qos", "1"]
    command += ["--events", "--stats", "--interval", f"{interval:g}"]
    return Program(directory, command, testbed.engine.environment, output=True)


def _glances(testbed: Testbed, interval: float, directory: Path) -> Program:
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "glances.conf"
    # One message for all containers; by default Glances publishes each field on its own, which costs more.
    config.write_text(
        f"[global]\ncheck_update=false\n[mqtt]\nhost=127.0.0.1\nport={testbed.broker.port}\ntls=false\n"
        f"user=bench\npassword=bench\ndevicename={HOST}\ntopic=glances\ntopic_structure=per-plugin\n"
    )
    command = [str(install(Competitor.GLANCES) / "glances"), "-C", str(config), "--quiet", "--time", f"{interval:g}"]
    command += ["--disable-plugin", "all", "--enable-plugin", "containers", "--export", "mqtt"]
    return Program(directory, command, {**testbed.engine.environment, "HOME": str(directory)}, output=True)


@cache
def _usage_bytes(testbed: Testbed) -> int:
    """Return the mean size of a usage message on this testbed: the baseline publishes messages of that size."""
    with tempfile.TemporaryDirectory(prefix="ua-bench-") as directory:
        program = _agent(
            "auto", testbed.engine.url, "mqtt://127.0.0.1", 1, Path(directory), "--once", "--dry-run", output=True
        )
        try:
            program.wait(60)
            lines = program.output.splitlines()
        finally:
            program.close()
    payloads = [line.partition(" ")[2] for line in lines if line.partition(" ")[0].endswith("/usage")]
    return sum(len(payload.encode()) for payload in payloads) // len(payloads)


def _baseline(testbed: Testbed, interval: float, directory: Path) -> Program:
    containers = [f"{pid}:{name}" for name, pid in testbed.pids.items()]
    command = [
        sys.executable,
        "-m",
        "benchmarks.baseline",
        str(testbed.broker.port),
        f"{interval:g}",
        str(_usage_bytes(testbed)),
    ]
    return Program(directory, [*command, *containers], clean_environment() | {"PYTHONPATH": str(ROOT)}, output=True)


SOURCES = ("stream", "poll", "kernel")


def candidates() -> list[Candidate]:
    """Return all candidates, the agent's sources first."""
    return [
        *(_agent_candidate(source) for source in SOURCES if accepts(source)),
        Candidate("docker-stats", "`docker stats`", _docker_stats, publishes=False),
        Candidate("docker2mqtt", "docker2mqtt 2.3.1", _docker2mqtt, warm_up=20, intervals=(10,)),
        Candidate("glances", "Glances 4.5.8", _glances, warm_up=30, intervals=(10,)),
        Candidate("baseline", "the baseline", _baseline),
    ]
