"""Every case that the fuzzer has found, or that somebody thought of, ever again, and some by chance."""

import pytest
from conftest import ExpectWarnings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.structure import CORPUS, mutate, seeds
from fuzz.targets import TARGETS

LONGEST = 20_000  # bytes
BEGINNINGS = {target: list(seeds(target)) for target in TARGETS}
CASES = [(path.parent.name, path.name) for path in sorted(CORPUS.glob("*/*"))]


@pytest.fixture(autouse=True)
def rubbish_is_told_of(expected_warnings: ExpectWarnings) -> None:
    """Announce what the agent warns of."""
    expected_warnings("is no status; it is left alone")


def test_there_are_cases() -> None:
    """The directory is where the tests look for it: an empty list of cases would pass unseen."""
    assert len(CASES) >= 10
    assert {target for target, _ in CASES} == set(TARGETS)


@pytest.mark.parametrize(("target", "case"), CASES)
def test_found_case(target: str, case: str) -> None:
    """It is a named error, or comes to something possible."""
    TARGETS[target]((CORPUS / target / case).read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_beginnings_are_good(target: str) -> None:
    """What the fuzzer begins with passes; otherwise it would never get to anything else."""
    assert BEGINNINGS[target]
    for beginning in BEGINNINGS[target]:
        TARGETS[target](beginning)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_changed_beginnings(target: str, data: st.DataObject) -> None:
    """What real engines said, with a few values changed, is as harmless."""
    changed = data.draw(st.sampled_from(BEGINNINGS[target]))
    for seed in data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4)):
        changed = mutate(changed, LONGEST, seed)
    TARGETS[target](changed)
