"""When a container counts as late: its interval, and what does not tell it."""

import pytest

from fleet.fleets import PI, fleet_of, state


def test_lateness_follows_the_interval_of_the_container() -> None:
    """A label may give a container another interval than the agent's."""
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 1, interval=60.0, at=60)])
    assert state(fleet, 179) == "running"
    assert state(fleet, 181) == "late"


def test_the_first_usage_does_not_tell_the_interval() -> None:
    """It comes within 3 s of the start and covers a second or less, whatever the interval is."""
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 1, interval=0.5, at=0)])
    assert state(fleet, 29) == "running"
    assert state(fleet, 31) == "late"


def test_the_first_usage_after_a_restart_does_not_tell_the_interval() -> None:
    """`seq` goes on over a restart of the container."""
    usages = [PI.usage("web", seq, at=10 * seq) for seq in (5, 6)]
    again = PI.usage("web", 7, interval=0.5, at=63)
    fleet = fleet_of([PI.status(), PI.container("web"), *usages, again])
    assert state(fleet, 29) == "running"
    assert state(fleet, 31) == "late"


@pytest.mark.parametrize(("interval", "running"), [(60.0, 179), (1.0, 2)])
def test_an_interval_of_its_own_after_the_first_usages(interval: float, running: int) -> None:
    """Of a label: longer or shorter than the agent's, and for as long as the container runs."""
    usages = [PI.usage("web", 1, interval=0.5, at=0)]
    for seq in range(2, 6):
        usages.append(PI.usage("web", seq, interval=interval, at=interval * (seq - 1)))
        if seq > 2 or interval > 10:
            fleet = fleet_of([PI.status(), PI.container("web"), *usages])
            assert state(fleet, running) == "running"
            assert state(fleet, running + 2) == "late"
    usages.append(PI.usage("web", 6, interval=0.5, at=1000))  # restarted
    assert state(fleet_of([PI.status(), PI.container("web"), *usages]), running) == "running"


def test_one_long_interval_is_not_the_interval() -> None:
    """The usage after the host was suspended covers all the time, and the next one comes as usual."""
    fleet = fleet_of(
        [PI.status(), PI.container("web"), PI.usage("web", 1), PI.usage("web", 2, interval=9000.0, at=9010)]
    )
    assert state(fleet, 31) == "late"


def test_a_new_interval_of_the_agent_is_one() -> None:
    fleet = fleet_of([PI.status(interval=1), PI.container("web"), PI.usage("web", 1, interval=1.0)])
    for message in (PI.status(interval=60), PI.usage("web", 2, interval=60.0, at=70)):
        fleet.apply(message.topic, message.payload, 60)
    assert state(fleet, 230) == "running"


def test_nobody_is_late_for_what_this_side_has_missed() -> None:
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 1)])
    fleet.on_connect(1000)
    assert state(fleet, 1029) == "running"
