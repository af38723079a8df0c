"""Kernel files of real containers, recorded together with the engine's documents of the same instants."""

from pathlib import Path

import pytest
from support.fakes.kernel_tree import CASES, RecordedTree

from agent.collection.verification import find_mismatches
from agent.engine.stats import parse_stats
from agent.metrics.reading import Reading

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
documents = pytest.mark.parametrize("document", ["first", "second"])

# Fields of the kernel that an engine does not report on cgroup v2, or reports otherwise.
KERNEL_ONLY = {"max_usage", "swap", "measured"}
# This container fills its memory with page cache, which the kernel reclaims several times between two readings.
RESTLESS = "docker-26.1-cgroup-v2-limited-throttled"


def read(tree: RecordedTree, document: str) -> tuple[Reading, Reading, bool]:
    """Return the readings of the files as they were before and after the engine wrote a document.

    And whether the container has a memory limit of its own. Whether it has a CPU quota was not recorded.
    """
    tree.show(f"before {document}")
    files = tree.open(tree.host_network)
    before = files.read()
    tree.show(f"after {document}")
    after, memory_limited = files.read(), files.memory_limited
    files.close()
    return before, after, memory_limited


def test_cases_are_found() -> None:
    """Without cases all tests here would pass unseen."""
    assert len(CASES) >= 4


@cases
@documents
def test_kernel_agrees_with_the_recorded_document(tmp_path: Path, case: Path, document: str) -> None:
    """Each field of the document is between the files' values before and after it."""
    before, after, memory_limited = read(RecordedTree(tmp_path, case), document)
    reported = parse_stats((case / f"{document}.json").read_bytes(), 0.0)
    mismatches = find_mismatches(before, reported, after, cpu_limited=True, memory_limited=memory_limited)
    assert memory_limited is ("limited" in case.name)
    if document == "second":  # interfaces were recorded once, before the first document
        mismatches = {field: text for field, text in mismatches.items() if not field.startswith("network")}
    else:
        assert after.network == reported.network
    if case.name == RESTLESS:
        assert mismatches.keys() <= {f"memory.{field}" for field in ("usage", "used", "cache")}
    else:
        assert mismatches == {}
        assert before.memory is not None
        ours = {field: value for field, value in before.memory.items() if field not in KERNEL_ONLY}
        assert ours == {field: value for field, value in (reported.memory or {}).items() if field != "measured"}
    assert (before.pids, after.cpu.online) == (reported.pids, reported.cpu.online)


@cases
def test_peak_and_swap_are_measured_on_cgroup_v2(tmp_path: Path, case: Path) -> None:
    """The kernel shows two fields there that an engine does not report."""
    before, _, _ = read(RecordedTree(tmp_path, case), "first")
    assert before.memory is not None
    assert before.memory["max_usage"] >= before.memory["usage"]
    assert before.memory["swap"] == 0
    assert before.memory["measured"] == ["RSS", "Cache", "Swap", "Usage", "Max Usage"]
