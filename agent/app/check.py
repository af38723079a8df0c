"""`usage-agent check`: tries everything the agent needs and prints a line for each, with a remedy where one helps."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from agent.app.host_name import container_id_warning
from agent.collection.collector import NO_MEMORY
from agent.collection.fallback import FallbackSource, create_source
from agent.collection.source import Source
from agent.config import Config
from agent.containers.container import Container, parse_inspect_of
from agent.containers.filter import ContainerFilter
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError
from agent.metrics.reading import Reading, ReadingError
from agent.mqtt.probe import probe
from agent.runtime.cancel import CancelToken
from agent.runtime.limits import LimitError
from agent.runtime.text import escape

ENGINE_FAILED, BROKER_FAILED = 3, 4  # exit codes; 2 is the configuration's
ENGINE_INTERVAL_SECONDS = 1.0  # an engine reads a container about once a second
MAX_PARALLEL_READINGS = 16  # older engines take a second for each


def check(config: Config, path: Path | None) -> int:
    """Print what works and what does not.

    Args:
        config: the configuration.
        path: the file that it was read from; None if there is none.

    Returns:
        The exit code: that of the first part that does not work, or 0.
    """
    origin = path or "no file, the defaults and the environment"
    _print_line("ok", "configuration", f"{origin}: {config.agent.host}, every {config.agent.interval:g} s")
    if warning := container_id_warning(config.agent.host, os.environ):
        _print_line("warn", "configuration", warning)
    codes = (_check_engine(config), _check_broker(config))
    return next((code for code in codes if code), 0)


def _check_engine(config: Config) -> int:
    engine = EngineClient(config.engine)
    try:
        info = engine.connect()
        source = create_source(config.engine.source, config.agent.interval, engine)
        cgroup = f", cgroup v{info['cgroup']}" if "cgroup" in info else ""
        _print_line("ok", "engine", f"{config.engine.url}: version {info['version']}, API {info['api']}{cgroup}")
        _check_readings(config, engine, source)
    except (EngineError, ValueError) as error:  # ValueError: the inspect document of a container cannot be used
        _print_line("FAIL", "engine", str(error))
        return ENGINE_FAILED
    return 0


def _check_readings(config: Config, engine: EngineClient, source: Source) -> None:
    container_filter = ContainerFilter(config.engine.include, config.engine.exclude)
    running = [row for row in engine.list_containers() if row.get("State") in ("running", "paused")]
    containers = [parse_inspect_of(engine.inspect(row["Id"]), row["Id"]) for row in running]
    selected = [container for container in containers if container_filter.matches(container.name, container.labels)]
    with ThreadPoolExecutor(MAX_PARALLEL_READINGS) as pool:
        first_reading = partial(_first_reading, source, config.agent.interval)
        readings = [(container, pool.submit(first_reading, container)) for container in selected]
    # Only after the readings is it known whether the kernel's files can be used, and so which source this is.
    _print_line("ok", "containers", f"{len(running)} running, {len(selected)} of them selected; source {source.name}")
    if isinstance(source, FallbackSource) and source.trouble:
        _print_line("note", "source", f"not kernel, or not for all: {source.trouble}")
    if config.agent.interval < ENGINE_INTERVAL_SECONDS and source.name != "kernel":
        text = f"agent.interval: usages come every {ENGINE_INTERVAL_SECONDS:g} s, as often as the engine reads"
        _print_line("note", "configuration", text)
    for container, reading in readings:
        _print_line(*_describe(container, reading))


def _first_reading(source: Source, interval: float, container: Container) -> Reading:
    with closing(source.open(container.id, interval, CancelToken())) as reader:
        while not (reading := reader.read()):
            pass
        return reading


def _describe(container: Container, future: "Future[Reading]") -> tuple[str, str, str]:
    """Return the line of one container: what was measured, or why nothing could be."""
    try:
        reading = future.result()
    except (EngineError, ReadingError, LimitError) as error:
        return "warn", container.name, f"no reading: {error}"
    parts = {"memory": reading.memory, "network": reading.network, "block I/O": reading.block_io, "pids": reading.pids}
    measured = ", ".join(["CPU", *(name for name, part in parts.items() if part)])
    if not reading.memory:
        return "warn", container.name, f"{measured}; {NO_MEMORY}"
    return "ok", container.name, measured


def _check_broker(config: Config) -> int:
    if config.broker.embedded:
        _print_line("ok", "broker", "embedded: started and ended together with the agent")
        return 0
    lines = probe(config.broker, config.agent.host, config.topics.base)
    for line in lines:
        _print_line(line.verdict, "broker", line.text)
    return BROKER_FAILED if any(line.verdict == "FAIL" for line in lines) else 0


def _print_line(verdict: str, subject: str, text: str) -> None:
    print(f"{verdict:<5} {escape(subject):<14} {escape(text)}", flush=True)
