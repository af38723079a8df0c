"""The time between two readings: the engine's clock, its host's CPU time and the agent's clock are compared."""

import pytest

from agent.metrics.rates import compute_usage, elapsed_ns
from metrics.readings import SECOND, at


@pytest.mark.parametrize("hours", [-1, 1])
def test_changed_clock_of_the_engine_is_noticed(hours: int) -> None:
    """If the engine's clock jumps by an hour, and CPU time and the agent's clock do not, those two are used."""
    old, new = at(0), at(3600 * hours + 10, used=5, host=10, arrived=10.4)
    assert elapsed_ns(old, new) == 10 * SECOND
    measurements = compute_usage(old, new, core_mhz=None)
    assert measurements is not None
    assert measurements["cpu"]["percent"] == 50
    assert measurements["timestamp"] == new.time


def test_agents_clock_may_be_wrong_alone() -> None:
    """Documents that waited arrive all at once; the engine's clock and its CPU time agree and are used."""
    assert elapsed_ns(at(0), at(10, arrived=0.001)) == 10 * SECOND
    assert elapsed_ns(at(0), at(10, arrived=500)) == 10 * SECOND


def test_host_cpu_time_may_be_wrong_alone() -> None:
    """Podman's is not the host's: the two clocks agree, and the finer one is used."""
    assert elapsed_ns(at(0), at(10, host=1234, arrived=10.2)) == 10 * SECOND
    assert elapsed_ns(at(0), at(10, host=-50, arrived=10.2)) == 10 * SECOND
    assert elapsed_ns(at(0), at(10, host=0, arrived=10.2)) == 10 * SECOND


def test_small_differences_between_clocks_are_ignored() -> None:
    """Documents come late and stolen time is missing from CPU time: up to 2 s or 10 % the engine's clock is used."""
    assert elapsed_ns(at(0), at(1, host=2.5, arrived=2.5)) == SECOND
    assert elapsed_ns(at(0), at(3600, host=3300, arrived=3300)) == 3600 * SECOND


def test_engines_clock_is_used_if_one_other_agrees() -> None:
    """The engine's clock is used as long as one of the others is near it."""
    assert elapsed_ns(at(0), at(10, host=11.9, arrived=12.5)) == 10 * SECOND
    assert elapsed_ns(at(0), at(10, host=12.5, arrived=11.9)) == 10 * SECOND


def test_engines_clock_is_used_without_host_cpu_time() -> None:
    """Windows has no host CPU time: a clock that was set cannot be told from late documents."""
    old, new = at(0, host_total=None), at(3610, arrived=10, host_total=None)
    assert elapsed_ns(old, new) == 3610 * SECOND


def test_engines_clock_is_used_if_no_two_agree() -> None:
    """Nothing better is known than the engine's own clock."""
    assert elapsed_ns(at(0), at(10, host=100, arrived=50)) == 10 * SECOND
