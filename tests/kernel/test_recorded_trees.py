"""The kernel's files of containers, recorded beside what the engine said of the same instants."""

from pathlib import Path

import pytest
from support.fakes.kernel_tree import CASES, RecordedTree

from agent.collection.verification import find_mismatches
from agent.engine.stats import parse_stats
from agent.metrics.reading import Reading

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
documents = pytest.mark.parametrize("document", ["first", "second"])

# What the engine does not tell on cgroup v2, but the kernel does.
MORE = {"max_usage", "swap", "measured"}
# This one fills its memory with page cache and has it taken away, several times between one look and the next.
RESTLESS = "docker-26.1-cgroup-v2-limited-throttled"


def read(tree: RecordedTree, document: str) -> tuple[Reading, Reading]:
    """Return the kernel's readings before and after the engine wrote a document."""
    tree.show(f"before {document}")
    files = tree.open(tree.host_network)
    before = files.read()
    tree.show(f"after {document}")
    after = files.read()
    files.close()
    return before, after


def test_cases_were_recorded() -> None:
    """An empty list of cases would pass unseen."""
    assert len(CASES) >= 4


@cases
@documents
def test_equal(tmp_path: Path, case: Path, document: str) -> None:
    """The engine's document says what the files said before and after it, wherever these two are the same."""
    before, after = read(RecordedTree(tmp_path, case), document)
    told = parse_stats((case / f"{document}.json").read_bytes(), 0.0)
    doubts = find_mismatches(before, told, after)
    if document == "second":  # the interfaces were recorded once, before the first
        doubts = {field: text for field, text in doubts.items() if not field.startswith("network")}
    else:
        assert after.network == told.network
    if case.name == RESTLESS:
        assert doubts.keys() <= {f"memory.{field}" for field in ("usage", "used", "cache")}
    else:
        assert doubts == {}
        assert before.memory is not None
        ours = {field: value for field, value in before.memory.items() if field not in MORE}
        assert ours == {field: value for field, value in (told.memory or {}).items() if field != "measured"}
    assert (before.pids, after.cpu.online) == (told.pids, told.cpu.online)


@cases
def test_more_than_the_engine_tells(tmp_path: Path, case: Path) -> None:
    """On cgroup v2 the peak and swap are measured too."""
    before, _ = read(RecordedTree(tmp_path, case), "first")
    assert before.memory is not None
    assert before.memory["max_usage"] >= before.memory["usage"]
    assert before.memory["swap"] == 0
    assert before.memory["measured"] == ["RSS", "Cache", "Swap", "Usage", "Max Usage"]
