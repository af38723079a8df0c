"""Statuses in the outbox: the newest retained status of each topic always reaches the broker."""

from agent.messages.outbox import Outbox
from messages.harness import payloads, status, take, take_all, topics, usage


def test_statuses_go_before_usages() -> None:
    """Statuses are sent before waiting usages, in the order in which they were added."""
    outbox = Outbox(10, "drop_newest")
    outbox.add_usage(usage(0))
    outbox.add_status(status("b"))
    outbox.add_status(status("a"))
    assert topics(outbox) == ["b", "a", "containers/h/c/usage"]


def test_newest_status_replaces_older_one() -> None:
    """Without a connection only the newest status of a topic is sent, behind those that were added before it."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a", b"old"))
    outbox.add_status(status("b"))
    outbox.add_status(status("a", b"new"))
    sent = [(delivery.message.topic, delivery.message.payload) for delivery in take_all(outbox)]
    assert sent == [("b", b"running"), ("a", b"new")]


def test_connected_outbox_sends_each_retained_status() -> None:
    """While there is a connection a retained status does not replace others: the last four are sent in order."""
    outbox = Outbox(1, "drop_newest")
    outbox.note_connected()
    for payload in (b"old", b"running", b"exited", b"removed", b""):
        outbox.add_status(status("a", payload))
    outbox.add_status(status("not retained", b"1", retain=False))
    outbox.add_status(status("not retained", b"2", retain=False))
    assert payloads(outbox) == [b"running", b"exited", b"removed", b"", b"2"]


def test_requeue_keeps_only_newest_status() -> None:
    """After a lost connection subscribers get the present status, not those before it."""
    outbox = Outbox(1, "drop_newest")
    outbox.note_connected()
    outbox.add_status(status("a", b"running"))
    outbox.add_status(status("a", b"exited"))
    outbox.requeue()
    assert payloads(outbox) == [b"exited"]
    outbox.add_status(status("a", b"removed"))
    outbox.add_status(status("a", b""))
    assert payloads(outbox) == [b""]


def test_status_added_while_older_one_is_in_flight_is_sent() -> None:
    """A status that is added while an older one is in flight is sent too, and is the one that requeue repeats."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a", b"old"))
    old = take(outbox)
    outbox.add_status(status("a", b"new"))
    outbox.ack(old)
    new = take(outbox)
    assert new.message.payload == b"new"
    outbox.ack(new)
    outbox.requeue()
    assert payloads(outbox) == [b"new"]


def test_requeue_repeats_only_retained_statuses() -> None:
    """A broker may have lost what it had retained: after a lost connection all of that is sent again."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a"))
    outbox.add_status(status("cleared", b""))
    outbox.add_status(status("counters", b"{}", retain=False))
    for delivery in take_all(outbox):
        outbox.ack(delivery)
    outbox.requeue()
    assert topics(outbox) == ["a"]


def test_unacknowledged_clearing_is_repeated() -> None:
    """A topic whose clearing was not acknowledged is cleared again after a lost connection, until it is."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a"))
    outbox.ack(take(outbox))
    outbox.add_status(status("a", b""))
    take(outbox)
    outbox.requeue()
    clearing = take(outbox)
    assert clearing.message.payload == b""
    outbox.ack(clearing)
    outbox.requeue()
    assert outbox.take() is None


def test_rejected_status_waits_for_retry() -> None:
    """A rejected status is sent again after requeue() or retry_rejected(), or when its topic gets a new one."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a", b"1"))
    outbox.reject(take(outbox))
    assert outbox.take() is None
    outbox.requeue()
    assert take(outbox).message.payload == b"1"
    outbox.add_status(status("a", b"2"))
    outbox.reject(take(outbox))
    assert outbox.take() is None
    outbox.retry_rejected()
    assert take(outbox).message.payload == b"2"
    outbox.retry_rejected()
    assert outbox.take() is None


def test_memory_is_bounded_by_retained_topics() -> None:
    """Tens of thousands of messages leave as many statuses behind as there are retained topics."""
    outbox = Outbox(5, "drop_oldest")
    for number in range(10_000):
        outbox.add_usage(usage(number))
        outbox.add_status(status(f"retained/{number % 7}", b"%d" % number))
        outbox.add_status(status(f"cleared/{number}", b""))
        outbox.add_status(status(f"not retained/{number}", retain=False))
        for delivery in take_all(outbox):
            (outbox.reject if number % 3 else outbox.ack)(delivery)
    assert outbox.idle
    outbox.requeue()
    assert sorted(topics(outbox)) == [f"retained/{number}" for number in range(7)]
