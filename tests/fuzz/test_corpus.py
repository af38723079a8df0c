"""All cases of the corpus, and random mutations of the seeds."""

import pytest
from conftest import ExpectWarnings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.structure import CORPUS, mutate, seeds
from fuzz.targets import TARGETS

MAX_INPUT_BYTES = 20_000  # bytes
SEEDS = {target: list(seeds(target)) for target in TARGETS}
CASES = [(path.parent.name, path.name) for path in sorted(CORPUS.glob("*/*"))]


@pytest.fixture(autouse=True)
def expect_rejected_statuses(expected_warnings: ExpectWarnings) -> None:
    """Announce the agent's warnings about rejected statuses."""
    expected_warnings("is no status; it is left alone")


def test_corpus_is_found() -> None:
    """The corpus has cases of every target; an empty list of cases would pass unnoticed."""
    assert len(CASES) >= 10
    assert {target for target, _ in CASES} == set(TARGETS)


@pytest.mark.parametrize(("target", "case"), CASES)
def test_corpus_case_has_a_permitted_outcome(target: str, case: str) -> None:
    """A case ends in a permitted error or a possible result."""
    TARGETS[target]((CORPUS / target / case).read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_pass(target: str) -> None:
    """All seeds pass; otherwise the fuzzer would fail before its first mutation."""
    assert SEEDS[target]
    for seed in SEEDS[target]:
        TARGETS[target](seed)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_seeds_pass(target: str, data: st.DataObject) -> None:
    """Seeds with a few changed values have a permitted outcome."""
    changed = data.draw(st.sampled_from(SEEDS[target]))
    for seed in data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4)):
        changed = mutate(changed, MAX_INPUT_BYTES, seed)
    TARGETS[target](changed)
