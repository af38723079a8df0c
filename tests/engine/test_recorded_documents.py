"""Documents of real engines, one directory per case: see tests/recorded/README.md. A new case needs no new code."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.assertions.measurements import assert_possible

from agent.containers.container import Container, parse_inspect
from agent.engine.stats import parse_stats
from agent.metrics.rates import compute_usage
from agent.metrics.reading import ContainerNotRunningError, Reading

CASES = sorted(path for path in (Path(__file__).parent.parent / "recorded").iterdir() if path.is_dir())
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

WITH_DOCKER_STATS = [case for case in CASES if (case / "docker-stats.txt").exists()]
STOPPED = [case for case in CASES if (case / "stopped.json").exists()]


def load(case: Path, name: str) -> Any:
    return json.loads((case / name).read_bytes())


def is_steady(case: Path) -> bool:
    """Return whether the container did one thing all the time, so that its gauges compare a second later."""
    return "restless" not in load(case, "recorded.json")


def each(cases: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def known_fields(container: Container) -> dict[str, Any]:
    """Return the fields of a container as expected.json has them, labels included; unknown fields are left out."""
    fields = {**dataclasses.asdict(container), "project": container.project, "service": container.service}
    return {name: value for name, value in fields.items() if value is not None}


def readings(case: Path) -> tuple[Reading, Reading]:
    before, after = load(case, "recorded.json")["arrived"]
    first, second = (case / "first.json").read_bytes(), (case / "second.json").read_bytes()
    return parse_stats(first, before), parse_stats(second, after)


def test_cases_are_found() -> None:
    """Without cases all tests here would pass unseen."""
    assert len(CASES) >= 10


@each(CASES)
def test_expected_values_were_checked_otherwise(case: Path) -> None:
    """Expected values were not copied from a result: each case says how they were checked."""
    assert len(load(case, "expected.json")["checked"]) > 20


@each(CASES)
def test_usage_is_the_expected_one(case: Path) -> None:
    """Two recorded documents give the usage that was computed by hand, with no other field."""
    assert compute_usage(*readings(case), core_mhz=None) == _close(load(case, "expected.json")["usage"])


@each(CASES)
def test_usage_is_possible(case: Path) -> None:
    """Every usage of a real engine is possible, and has no field that the schema does not know."""
    usage = compute_usage(*readings(case), core_mhz=None)
    if usage is not None:
        assert_possible(usage)


@each([case for case in WITH_DOCKER_STATS if is_steady(case)])
def test_gauges_agree_with_docker_stats(case: Path) -> None:
    """`docker stats` between the two documents showed the same gauges, within its rounding."""
    shown = docker_stats(case)
    _, second = readings(case)
    assert second.memory is not None
    assert second.pids is not None
    used, limit = shown["MEM USAGE / LIMIT"].split(" / ")
    assert second.memory["used"] == pytest.approx(_bytes(used), rel=0.01)
    assert second.memory["limit"] == pytest.approx(_bytes(limit), rel=0.001)
    assert second.memory["percent"] == pytest.approx(float(shown["MEM %"][:-1]), abs=0.006)
    assert second.pids["current"] == int(shown["PIDS"])


@each([case for case in WITH_DOCKER_STATS if is_steady(case)])
def test_cpu_agrees_with_docker_stats(case: Path) -> None:
    """`docker stats` shows one of the usage's three seconds: its percentage is near, and on the same scale."""
    shown = docker_stats(case)
    usage = compute_usage(*readings(case), core_mhz=None)
    assert usage is not None
    assert usage["cpu"]["percent"] == pytest.approx(float(shown["CPU %"][:-1]), rel=0.1, abs=0.5)


@each([case for case in WITH_DOCKER_STATS if load(case, "expected.json")["usage"] is not None])
def test_counters_agree_with_docker_stats(case: Path) -> None:
    """Network and block I/O in `docker stats` are between those of the two documents."""
    shown = docker_stats(case)
    first, second = readings(case)
    for (before, after), text in _counters(first, second, shown):
        assert before * 0.99 <= _bytes(text) <= after * 1.01


@each(STOPPED)
def test_document_of_a_stopped_container_is_no_reading(case: Path) -> None:
    """Its zeros do not become a usage."""
    with pytest.raises(ContainerNotRunningError):
        parse_stats((case / "stopped.json").read_bytes(), 0.0)


@each(CASES)
def test_inspect_documents_describe_one_container(case: Path) -> None:
    """The inspect documents of a case, of different API versions, describe the same container."""
    for path in case.glob("inspect*.json"):
        assert known_fields(parse_inspect(json.loads(path.read_bytes()))) == load(case, "expected.json")["container"]


def docker_stats(case: Path) -> dict[str, str]:
    """Return the columns of `docker stats` by their titles."""
    titles, values = (
        re.split(r"\s{2,}", line.strip()) for line in (case / "docker-stats.txt").read_text().splitlines()
    )
    return dict(zip(titles, values, strict=True))


def _counters(first: Reading, second: Reading, shown: dict[str, str]) -> Iterator[tuple[tuple[int, int], str]]:
    received, sent = shown["NET I/O"].split(" / ")
    read, written = shown["BLOCK I/O"].split(" / ")
    old, new = first.network or {}, second.network or {}
    yield (old.get("rx_bytes", 0), new.get("rx_bytes", 0)), received
    yield (old.get("tx_bytes", 0), new.get("tx_bytes", 0)), sent
    before, after = first.block_io or {}, second.block_io or {}
    yield (before.get("read_bytes", 0), after.get("read_bytes", 0)), read
    yield (before.get("write_bytes", 0), after.get("write_bytes", 0)), written


def _close(expected: Any) -> Any:
    """Return an expectation in which only the last bits of floating-point numbers may differ."""
    if isinstance(expected, float):
        return pytest.approx(expected, rel=1e-12, abs=0)
    if isinstance(expected, dict):
        return {name: _close(value) for name, value in expected.items()}
    return expected


def _bytes(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text)
    assert match is not None, text
    return float(match[1]) * UNITS[match[2]]
