"""The budget of file descriptors that readings may use."""

import resource
import threading

import pytest

from agent.runtime.limits import (
    RESERVED_DESCRIPTORS,
    DescriptorBudget,
    DescriptorLimitError,
    ThreadLimitError,
    start_thread,
)


@pytest.fixture
def budget() -> DescriptorBudget:
    """Return a budget of three descriptors: the soft limit of this process is lowered meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * RESERVED_DESCRIPTORS, hard))
    try:
        made = DescriptorBudget()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for _ in range(RESERVED_DESCRIPTORS - 3):
        assert made.acquire()
    return made


def test_readings_get_all_but_the_reserved_descriptors(budget: DescriptorBudget) -> None:
    """The agent still receives events and publishes when readings have used up theirs."""
    assert [budget.acquire() for _ in range(4)] == [True, True, True, False]
    budget.release()
    assert budget.acquire()


def test_a_caller_can_leave_some_to_others(budget: DescriptorBudget) -> None:
    """With `spare`, so many must remain free."""
    assert budget.acquire(spare=2)
    assert not budget.acquire(spare=2)
    assert budget.acquire(spare=1)


def test_the_error_names_the_limit_to_raise(budget: DescriptorBudget) -> None:
    """A reserved descriptor is given back at the end of the block."""
    while budget.acquire(spare=1):
        pass
    with budget.reserve(), pytest.raises(DescriptorLimitError, match="LimitNOFILE="), budget.reserve():
        pass
    assert budget.acquire()


def test_a_thread_that_cannot_be_started_is_reported_with_the_limit_to_raise() -> None:
    """A thread object that has run already is refused in the same way as one too many."""
    thread = threading.Thread(target=lambda: None)
    start_thread(thread)
    thread.join()
    with pytest.raises(ThreadLimitError, match="TasksMax="):
        start_thread(thread)
