"""When a removed container's retained status is cleared."""

from agent.containers.retention import StatusRetention


def test_a_removed_container_is_forgotten_once_and_in_time() -> None:
    """Not before its time, and not twice."""
    retention = StatusRetention(600)
    retention.on_removed("web", now=1000)
    assert retention.take_expired(1599.9) == []
    assert retention.take_expired(1600) == ["web"]
    assert retention.take_expired(9999) == []


def test_the_time_before_the_agent_started_counts() -> None:
    """A container that was removed before an earlier agent ended is not kept for another full time."""
    retention = StatusRetention(600)
    retention.on_removed("half way", now=1000, ago=300)
    retention.on_removed("long ago", now=1000, ago=100_000)
    assert retention.take_expired(1000) == ["long ago"]
    assert retention.take_expired(1300) == ["half way"]


def test_a_level_that_is_used_again_is_kept() -> None:
    """A recreated container's status is not cleared because its forerunner was removed."""
    retention = StatusRetention(600)
    retention.on_removed("web", now=1000)
    retention.keep("web")
    assert retention.take_expired(9999) == []


def test_zero_keeps_what_was_removed_but_not_what_was_left() -> None:
    """`topics.forget_removed = 0` keeps statuses for ever; a level left by a rename is cleared all the same."""
    retention = StatusRetention(0)
    retention.on_removed("web", now=1000)
    retention.on_vacated("old name", now=1000)
    assert retention.take_expired(1001) == ["old name"]
    assert retention.take_expired(1e9) == []
