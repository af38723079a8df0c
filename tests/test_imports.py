"""Imports run one way, from the wiring down to the pure heart: each module can be read without those above it."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import agent

PACKAGE = Path(agent.__file__).parent
PATHS = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MODULES = list(PATHS)
PURE = ["metrics.reading", "metrics.rates", "metrics.values", "engine.stats", "collection.verification"]
PURE += ["collection.schedule", "messages.topics", "messages.payloads", "messages.counters"]
PURE += ["containers.container", "containers.filter", "containers.labels", "containers.topic_names"]
CLOCKS_AND_RIMS = {"threading", "time", "socket", "select", "logging", "subprocess", "random", "os"}
ONLY_IN = {"docker": {"engine.session"}, "paho": {"mqtt.client"}}
TOP = {"app.service": {"cli"}, "cli": {"__main__"}}  # who may import the wiring, and who the commands


@cache
def imports(module: str) -> frozenset[str]:
    """Return everything that a module imports, in whole names: `agent.usage`, `paho.mqtt.client`, `time`."""
    tree = ast.parse(PATHS[module].read_text())
    return frozenset(name for node in ast.walk(tree) for name in _names(node))


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(package), names=names):
            inside = [f"{package}.{alias.name}" for alias in names]
            modules = [name for name in inside if name.removeprefix("agent.") in MODULES]
            yield from modules or [package]


def foreign(module: str) -> set[str]:
    """Return the top-level names of what a module imports from outside the package."""
    return {name.partition(".")[0] for name in imports(module)} - {"agent"}


def own(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    return {name.removeprefix("agent.") for name in imports(module) if name.startswith("agent.")}


def below(module: str) -> set[str]:
    """Return a module and all of the package that it stands on."""
    reached, ahead = {module}, [module]
    while ahead:
        new = own(ahead.pop()) - reached
        reached |= new
        ahead += new
    return reached


@pytest.mark.parametrize(("library", "homes"), ONLY_IN.items())
def test_one_module_knows_each_client_library(library: str, homes: set[str]) -> None:
    """Docker's client is imported by the engine alone, paho by the broker alone: there it could be exchanged."""
    assert {module for module in MODULES if library in foreign(module)} == homes


def test_the_kernel_knows_no_engine() -> None:
    """What reads the kernel's files stands on nothing that talks to an engine."""
    assert not [part for part in below("kernel.reader") if part.startswith("engine") or "docker" in foreign(part)]


@pytest.mark.parametrize("module", PURE)
def test_the_heart_is_pure(module: str) -> None:
    """Neither the rules of the domain nor anything they stand on know a thread, a clock, a socket or a log."""
    impure = {part: sorted(CLOCKS_AND_RIMS & foreign(part)) for part in below(module)}
    assert {part: names for part, names in impure.items() if names} == {}


def test_no_imports_in_a_circle() -> None:
    """Every module can be understood after those that it imports."""
    try:
        TopologicalSorter({module: own(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


@pytest.mark.parametrize(("top", "allowed"), TOP.items())
def test_nothing_imports_upwards(top: str, allowed: set[str]) -> None:
    """The wiring is imported by the commands, the commands by `python -m agent`, and neither by anything else."""
    assert {module for module in MODULES if top in own(module)} <= allowed
