"""Usages in the outbox: which are kept when it is full, in which order they leave, and how each is counted."""

import pytest

from agent.messages.outbox import Outbox
from messages.harness import Policy, payloads, status, take, usage, with_both_policies


@pytest.mark.parametrize(("on_full", "kept"), [("drop_newest", [b"0", b"1"]), ("drop_oldest", [b"2", b"3"])])
def test_full_outbox_drops_by_policy(on_full: Policy, kept: list[bytes]) -> None:
    """Either the oldest usages are kept or the newest, and add_usage reports each loss."""
    outbox = Outbox(2, on_full)
    assert [outbox.add_usage(usage(number)) for number in range(4)] == [True, True, False, False]
    assert payloads(outbox) == kept
    assert outbox.counters() == {"capacity": 2, "waiting": 2, "added": 4, "sent": 0, "dropped": 2}


def test_usage_in_flight_is_never_dropped() -> None:
    """If all usages are in flight, drop_oldest drops the newest: a usage in flight cannot be withdrawn."""
    outbox = Outbox(1, "drop_oldest")
    outbox.add_usage(usage(0))
    delivery = take(outbox)
    assert not outbox.add_usage(usage(1))
    outbox.ack(delivery)
    assert outbox.take() is None
    assert outbox.counters() == {"capacity": 1, "waiting": 0, "added": 2, "sent": 1, "dropped": 1}


def test_rejected_usage_is_dropped() -> None:
    """A usage that the broker rejects is counted as dropped, not as sent."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_usage(usage(0))
    outbox.reject(take(outbox))
    assert outbox.counters() == {"capacity": 1, "waiting": 0, "added": 1, "sent": 0, "dropped": 1}


def test_requeued_usages_go_first_in_their_order() -> None:
    """After a lost connection the usages in flight are sent first, in their order, and none is counted twice."""
    outbox = Outbox(10, "drop_newest")
    for number in range(5):
        outbox.add_usage(usage(number))
    first, second, third = take(outbox), take(outbox), take(outbox)
    outbox.ack(second)
    outbox.requeue()
    outbox.ack(first)  # too late to mean anything
    outbox.reject(third)
    assert payloads(outbox) == [b"0", b"2", b"3", b"4"]
    assert outbox.counters() == {"capacity": 10, "waiting": 4, "added": 5, "sent": 1, "dropped": 0}


@with_both_policies
def test_closed_outbox_drops_usages_and_accepts_statuses(on_full: Policy) -> None:
    """After close() usages are dropped and counted; statuses are still accepted."""
    outbox = Outbox(10, on_full)
    outbox.add_usage(usage(0))
    outbox.close()
    assert not outbox.add_usage(usage(1))
    outbox.add_status(status("a", b"stopped"))
    assert payloads(outbox) == [b"stopped", b"0"]
    assert outbox.counters() == {"capacity": 10, "waiting": 1, "added": 2, "sent": 0, "dropped": 1}


def test_smaller_capacity_drops_nothing_that_waits() -> None:
    """Each new usage is dropped until enough have left; the counters' capacity falls with what waits."""
    outbox = Outbox(10, "drop_newest")
    for number in range(5):
        outbox.add_usage(usage(number))
    in_flight = take(outbox)
    outbox.set_limits(2, "drop_newest")
    assert not outbox.add_usage(usage(5))
    assert outbox.counters() == {"capacity": 5, "waiting": 5, "added": 6, "sent": 0, "dropped": 1}
    outbox.ack(in_flight)
    assert outbox.counters()["capacity"] == 4
    for _ in range(3):
        outbox.ack(take(outbox))
    assert outbox.counters() == {"capacity": 2, "waiting": 1, "added": 6, "sent": 4, "dropped": 1}
    assert outbox.add_usage(usage(6))
    assert payloads(outbox) == [b"4", b"6"]


def test_other_policy_holds_for_the_next_usage() -> None:
    """With `drop_oldest` and a smaller capacity a new usage takes the place of the oldest."""
    outbox = Outbox(3, "drop_newest")
    for number in range(4):
        outbox.add_usage(usage(number))
    outbox.set_limits(2, "drop_oldest")
    assert not outbox.add_usage(usage(4))
    assert outbox.counters() == {"capacity": 3, "waiting": 3, "added": 5, "sent": 0, "dropped": 2}
    assert payloads(outbox) == [b"1", b"2", b"4"]
    outbox.set_limits(5, "drop_oldest")
    assert outbox.add_usage(usage(5))
