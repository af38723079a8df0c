"""Deadlines of the agent's threads."""

from agent.runtime.watchdog import Watchdog


def test_a_thread_is_overdue_after_its_deadline() -> None:
    """A thread that has called again, or has ended, is not."""
    watchdog = Watchdog()
    watchdog.expect_within("late", -1)
    watchdog.expect_within("in time", 60)
    watchdog.expect_within("ended", -1)
    watchdog.clear("ended")
    assert watchdog.overdue() == ["late"]
    watchdog.expect_within("late", 60)
    assert watchdog.overdue() == []
