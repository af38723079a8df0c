"""`usage-agent check`: tries everything the agent needs, one line for each, with the remedy for what does not work."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from agent.collection.collector import NO_MEMORY
from agent.collection.fallback import FallbackSource, create_source
from agent.collection.source import Source
from agent.config import Config
from agent.containers.container import Container, parse_inspect_of
from agent.containers.filter import ContainerFilter
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError
from agent.metrics.reading import Reading, ReadingError
from agent.mqtt.connector import probe
from agent.mqtt.errors import BrokerError
from agent.runtime.cancel import CancelToken
from agent.runtime.limits import LimitError
from agent.runtime.text import escape

ENGINE, BROKER = 3, 4  # exit codes; the configuration's is 2
FASTEST = 1.0  # seconds: engines take a reading of a container about once a second


def check(config: Config, path: Path | None) -> int:
    """Print what works and what does not; the exit code of the first thing that does not.

    `path` is the file that the configuration was read from, if there is one.
    """
    where = path or "no file, the defaults and the environment"
    _line("ok", "configuration", f"{where}: {config.agent.host}, every {config.agent.interval:g} s")
    codes = (_check_engine(config), _check_broker(config))
    return next((code for code in codes if code), 0)


def _check_engine(config: Config) -> int:
    engine = EngineClient(config.engine)
    try:
        info = engine.connect()
        source = create_source(config.engine.source, config.agent.interval, engine)
        cgroup = f", cgroup v{info['cgroup']}" if "cgroup" in info else ""
        _line("ok", "engine", f"{config.engine.url}: version {info['version']}, API {info['api']}{cgroup}")
        _check_readings(config, engine, source)
    except (EngineError, ValueError) as error:  # or what it says of a container cannot be understood
        _line("FAIL", "engine", str(error))
        return ENGINE
    return 0


def _check_readings(config: Config, engine: EngineClient, source: Source) -> None:
    selection = ContainerFilter(config.engine.include, config.engine.exclude)
    running = [row for row in engine.list_containers() if row.get("State") in ("running", "paused")]
    containers = [parse_inspect_of(engine.inspect(row["Id"]), row["Id"]) for row in running]
    selected = [container for container in containers if selection.matches(container.name, container.labels)]
    with ThreadPoolExecutor(16) as pool:  # older engines take a second for each
        first = partial(_first, source, config.agent.interval)
        readings = [(container, pool.submit(first, container)) for container in selected]
    # By now it is clear whether the kernel's files can be used.
    _line("ok", "containers", f"{len(running)} running, {len(selected)} of them selected; source {source.name}")
    if isinstance(source, FallbackSource) and source.trouble:
        _line("note", "source", f"not kernel, or not for all: {source.trouble}")
    if config.agent.interval < FASTEST and source.name != "kernel":
        _line("note", "configuration", f"agent.interval: usages come every {FASTEST:g} s, as often as the engine reads")
    for container, reading in readings:
        _line(*_judge(container, reading))


def _first(source: Source, interval: float, container: Container) -> Reading:
    with closing(source.open(container.id, interval, CancelToken())) as reader:
        while not (reading := reader.read()):
            pass
        return reading


def _judge(container: Container, future: "Future[Reading]") -> tuple[str, str, str]:
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
        _line("ok", "broker", "embedded: started and ended together with the agent")
        return 0
    try:
        _line("ok", "broker", probe(config.broker))
    except BrokerError as error:
        _line("FAIL", "broker", str(error))
        return BROKER
    return 0


def _line(verdict: str, what: str, text: str) -> None:
    print(f"{verdict:<5} {escape(what):<14} {escape(text)}", flush=True)
