"""The part of `usage-agent check` about containers: which are selected, and what can be read of each."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from agent.app.lines import print_line
from agent.collection.fallback import FallbackSource
from agent.collection.source import Source
from agent.collection.usages import NO_MEMORY
from agent.config import Config
from agent.containers.container import RUNNING_STATES, Container, parse_inspect_of, update_from_row
from agent.containers.filter import ContainerFilter
from agent.containers.labels import INTERVAL, AgentLabels
from agent.containers.topic_names import strip_temporary_prefix
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError, NoSuchContainerError
from agent.metrics.reading import Reading, ReadingError
from agent.runtime.cancel import CancelToken
from agent.runtime.limits import LimitError
from agent.runtime.text import quote

ENGINE_INTERVAL_SECONDS = 1.0  # an engine reads a container about once a second
_AS_OFTEN_AS_THE_ENGINE = f"usages come every {ENGINE_INTERVAL_SECONDS:g} s, as often as the engine reads"
MAX_PARALLEL_READINGS = 16  # older engines take a second for each
MAX_SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class _Finding:
    """What was found out about one container that was running when the engine listed it.

    Attributes:
        name: its name in messages.
        own_name: its name in the engine, by which the globs of the configuration select it.
        selected: whether the agent is to publish it.
        labels: what its labels mean.
        runs: whether it still runs.
        reading: its first reading; None if there is none.
        by_engine: whether the reading is the engine's, and not from the kernel's files.
        trouble: what is wrong; empty if nothing is.
    """

    name: str
    own_name: str
    selected: bool
    labels: AgentLabels
    runs: bool = True
    reading: Reading | None = None
    by_engine: bool = False
    trouble: str = ""


def check_containers(config: Config, engine: EngineClient, source: Source) -> bool:
    """Print what can be read of each container that runs.

    Returns:
        False if containers are selected, and none of them can be read: the agent could not do its work. Else True.

    Raises:
        EngineError: the engine gives no list.
    """
    rows = engine.list_containers()
    running = [row for row in rows if row.get("State") in RUNNING_STATES]
    checker = _Checker(config, engine, source, [row["Id"] for row in rows])
    with ThreadPoolExecutor(MAX_PARALLEL_READINGS) as pool:
        findings = list(pool.map(checker.check, running))
    selected = [finding for finding in findings if finding.selected]
    # Only after the readings is it known whether the kernel's files can be used, and so which source this is.
    print_line("ok", "containers", f"{len(running)} running, {len(selected)} of them selected; source {source.name}")
    _print_selection(config, [finding.own_name for finding in findings], len(selected))
    _print_source(config, source)
    for finding in selected:
        print_line(*_describe(finding))
    for finding in findings:  # a wrong label may be why a container is selected or not
        _print_labels(finding)
    expected = [finding for finding in selected if finding.runs]
    if expected and not any(finding.reading for finding in expected):
        print_line("FAIL", "containers", "not one of those that are selected can be read: there will be no usages")
        return False
    return True


class _Checker:
    """Checks one container in each call. Thread-safe.

    Args:
        ids: the ids of all containers, by which temporary names of Compose's are recognized.
    """

    def __init__(self, config: Config, engine: EngineClient, source: Source, ids: Sequence[str]) -> None:
        self._filter = ContainerFilter(config.engine.include, config.engine.exclude)
        self._interval = config.agent.interval
        self._engine = engine
        self._source = source
        self._ids = ids

    def check(self, row: Mapping[str, Any]) -> _Finding:
        """Inspect the container of a row of the engine's list, and read it if it is selected."""
        container, runs, trouble = update_from_row(None, row), True, ""
        try:
            container = parse_inspect_of(self._engine.inspect(row["Id"]), row["Id"])
            runs = container.running
            trouble = "" if runs else "it has ended during this check"
        except NoSuchContainerError:
            runs, trouble = False, "it was removed during this check"
        except (EngineError, ValueError) as error:  # ValueError: the inspect document cannot be used
            trouble = f"cannot be inspected: {error}"
        own_name, labels = strip_temporary_prefix(container.name, self._ids), container.agent_labels
        selected = self._filter.matches(own_name, container.labels)
        finding = _Finding(labels.name or own_name, own_name, selected, labels, runs, trouble=trouble)
        if not runs or not selected:
            return finding
        try:
            reading, by_engine = self._first_reading(container)
            return replace(finding, reading=reading, by_engine=by_engine)
        except (EngineError, ReadingError, LimitError) as error:
            return replace(finding, trouble="; ".join(filter(None, (trouble, f"no reading: {error}"))))

    def _first_reading(self, container: Container) -> tuple[Reading, bool]:
        """Return the first reading, and whether it is the engine's. Raises as `Source.open` and `Reader.read` do."""
        interval = container.agent_labels.interval or self._interval
        with closing(self._source.open(container.id, interval, CancelToken())) as reader:
            while not (reading := reader.read()):
                pass
            return reading, reader.blocking  # only the engine's readings have to be waited for


def _print_selection(config: Config, names: Sequence[str], selected_count: int) -> None:
    """Print a line if no container is selected, or a glob of `engine.include` matches none: probably a mistake."""
    if not names:
        return
    if not selected_count:
        settings = f"engine.include = {_list(config.engine.include)}, engine.exclude = {_list(config.engine.exclude)}"
        shown = ", ".join(names[:MAX_SHOWN_NAMES]) + (", …" if len(names) > MAX_SHOWN_NAMES else "")
        print_line("warn", "containers", f"none of those that run is selected: {settings}; they are called {shown}")
    for glob in config.engine.include:
        only = ContainerFilter((glob,), ())
        if not any(only.matches(name, {}) for name in names):
            print_line("note", "containers", f"engine.include: {_list([glob])} matches no container that runs")


def _list(globs: Iterable[str]) -> str:
    return f"[{', '.join(map(quote, globs))}]"


def _print_source(config: Config, source: Source) -> None:
    if isinstance(source, FallbackSource) and source.trouble:
        print_line("note", "source", f"the kernel's files are not used, or not for all containers: {source.trouble}")
    if config.agent.interval < ENGINE_INTERVAL_SECONDS and source.name != "kernel":
        print_line("note", "configuration", f"agent.interval: {_AS_OFTEN_AS_THE_ENGINE}")


def _print_labels(finding: _Finding) -> None:
    """Print which labels of a container make no sense, and whether its interval is too short for the engine."""
    for mistake in finding.labels.mistakes.values():
        print_line("warn", finding.name, mistake)
    interval = finding.labels.interval
    if finding.by_engine and interval is not None and interval < ENGINE_INTERVAL_SECONDS:
        print_line("note", finding.name, f"label {INTERVAL}: {_AS_OFTEN_AS_THE_ENGINE}")


def _describe(finding: _Finding) -> tuple[str, str, str]:
    """Return verdict, name and text of a container's line. The text says what was measured, and what is wrong."""
    if finding.reading is None:
        return "warn", finding.name, finding.trouble
    reading = finding.reading
    parts = {
        "CPU": reading.cpu.is_measured,
        "memory": reading.memory,
        "network": reading.network,
        "block I/O": reading.block_io,
        "pids": reading.pids,
    }
    measured = ", ".join(name for name, part in parts.items() if part)
    if not reading.cpu.is_measured:
        missing = "the host counts no CPU time of this container, as with rootless Docker on cgroup v1"
    else:
        missing = "" if reading.memory else NO_MEMORY
    troubles = [text for text in (finding.trouble, missing) if text]
    return "warn" if troubles else "ok", finding.name, "; ".join((measured, *troubles))
