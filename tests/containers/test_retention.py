"""When a removed container's retained status is cleared."""

from agent.containers.retention import StatusRetention


def test_status_of_a_removed_container_expires() -> None:
    """It expires when its time is over, and is held until it is cleared."""
    retention = StatusRetention(600)
    retention.on_removed("web", now=1000)
    assert retention.expired(1599.9) == []
    assert retention.expired(1600) == ["web"]
    assert retention.is_leftover("web")
    retention.release("web")
    assert retention.expired(9999) == []
    assert not retention.is_leftover("web")


def test_time_before_the_start_of_the_agent_counts() -> None:
    """The status of a container that was removed during an earlier run is not kept for the whole time again."""
    retention = StatusRetention(600)
    retention.on_removed("half way", now=1000, ago=300)
    retention.on_removed("long ago", now=1000, ago=100_000)
    assert retention.expired(1000) == ["long ago"]
    retention.release("long ago")
    assert retention.expired(1300) == ["half way"]


def test_level_that_is_used_again_is_kept() -> None:
    """The status of a recreated container is not cleared because its predecessor was removed."""
    retention = StatusRetention(600)
    retention.on_removed("web", now=1000)
    retention.release("web")
    assert retention.expired(9999) == []


def test_zero_keeps_removed_containers_but_not_vacated_levels() -> None:
    """`topics.forget_removed = 0` keeps statuses for ever, except at a level that was left by a rename."""
    retention = StatusRetention(0)
    retention.on_removed("web", now=1000)
    retention.on_vacated("old name", now=1000)
    assert retention.expired(1e9) == ["old name"]
    assert retention.expired(float("inf")) == ["old name"]
    assert retention.is_leftover("web")


def test_other_time_counts_from_the_removal() -> None:
    """Also for a container that was removed before the time was changed; 0 keeps what is not cleared yet."""
    retention = StatusRetention(0)
    retention.on_removed("web", now=1000)
    retention.on_removed("db", now=1100)
    assert retention.expired(1200) == []
    retention.set_after(150)
    assert retention.expired(1200) == ["web"]
    retention.release("web")
    retention.set_after(0)
    assert retention.expired(9999) == []
    retention.set_after(600)
    assert retention.expired(1699.9) == []
    assert retention.expired(1700) == ["db"]


def test_the_later_of_a_removal_and_a_rename_decides() -> None:
    """A level is cleared by the one or by the other, and is held meanwhile."""
    retention = StatusRetention(600)
    retention.on_removed("web", now=1000)
    retention.on_vacated("web", now=1000)
    assert retention.expired(1001) == ["web"]
    retention.on_removed("web", now=2000)
    assert retention.expired(2001) == []
    assert retention.is_leftover("web")
    assert retention.expired(2600) == ["web"]
