"""When a removed container's retained status is cleared."""

from agent.containers.retention import Forgetting


def test_a_removed_container_is_forgotten_once_and_in_time() -> None:
    """Not before its time, and not twice."""
    forgetting = Forgetting(600)
    forgetting.removed("web", now=1000)
    assert forgetting.due(1599.9) == []
    assert forgetting.due(1600) == ["web"]
    assert forgetting.due(9999) == []


def test_the_time_before_the_agent_started_counts() -> None:
    """A container that was removed before an earlier agent ended is not kept for another full time."""
    forgetting = Forgetting(600)
    forgetting.removed("half way", now=1000, ago=300)
    forgetting.removed("long ago", now=1000, ago=100_000)
    assert forgetting.due(1000) == ["long ago"]
    assert forgetting.due(1300) == ["half way"]


def test_a_level_that_is_used_again_is_kept() -> None:
    """A recreated container's status is not cleared because its forerunner was removed."""
    forgetting = Forgetting(600)
    forgetting.removed("web", now=1000)
    forgetting.keep("web")
    assert forgetting.due(9999) == []


def test_zero_keeps_what_was_removed_but_not_what_was_left() -> None:
    """`topics.forget_removed = 0` keeps statuses for ever; a level left by a rename is cleared all the same."""
    forgetting = Forgetting(0)
    forgetting.removed("web", now=1000)
    forgetting.left("old name", now=1000)
    assert forgetting.due(1001) == ["old name"]
    assert forgetting.due(1e9) == []
