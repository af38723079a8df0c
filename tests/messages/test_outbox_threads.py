"""The outbox between threads: waking the publisher, waiting until idle, and the invariant at every instant."""

import threading
from itertools import count

from agent.messages.outbox import Outbox
from messages.harness import Policy, status, take, usage, with_both_policies

JOIN_SECONDS = 300.0  # for what takes a second on a quiet machine


def test_listener_is_called_for_each_addition() -> None:
    """The listener is called for everything new to take, without the lock held, and not for a dropped usage."""
    outbox = Outbox(1, "drop_newest")
    waiting: list[int] = []
    outbox.set_listener(lambda: waiting.append(outbox.counters()["waiting"]))  # would deadlock under the lock
    outbox.add_usage(usage(0))
    outbox.add_usage(usage(1))
    outbox.add_status(status("a"))
    assert waiting == [1, 1]


def test_outbox_is_idle_when_all_is_acknowledged() -> None:
    """A usage or status in flight has not reached the broker yet."""
    outbox = Outbox(1, "drop_newest")
    assert outbox.idle
    outbox.add_usage(usage(0))
    outbox.add_status(status("a"))
    assert not outbox.statuses_delivered
    first, second = take(outbox), take(outbox)
    assert not outbox.statuses_delivered
    outbox.ack(first)
    assert outbox.statuses_delivered
    assert not outbox.idle
    assert not outbox.wait_idle(0)
    outbox.ack(second)
    assert outbox.idle
    assert outbox.wait_idle(0)


def test_last_acknowledgement_ends_wait_idle() -> None:
    """wait_idle returns with the last acknowledgement, not at its timeout."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_usage(usage(0))
    delivery = take(outbox)
    waiter = threading.Thread(target=outbox.wait_idle, args=(100 * JOIN_SECONDS,), daemon=True)
    waiter.start()
    outbox.ack(delivery)
    waiter.join(JOIN_SECONDS)
    assert not waiter.is_alive()


def add_messages(outbox: Outbox) -> None:
    for number in range(3000):
        outbox.add_usage(usage(number))
        if number % 10 == 0:
            outbox.add_status(status(f"s/{number % 70}"))


def publish_until(outbox: Outbox, all_added: threading.Event) -> None:
    for number in count():
        complete = all_added.is_set()  # before take(): what is added in between must still be taken
        delivery = outbox.take()
        if delivery is None and complete:
            return
        if number % 50 == 49:
            outbox.requeue()
        elif delivery is not None:
            (outbox.reject if number % 7 == 0 else outbox.ack)(delivery)


def holds_invariant(outbox: Outbox) -> bool:
    counters = outbox.counters()
    accounted = counters["sent"] + counters["dropped"] + counters["waiting"]
    return counters["added"] == accounted and 0 <= counters["waiting"] <= counters["capacity"]


@with_both_policies
def test_invariant_holds_between_threads(on_full: Policy) -> None:
    """In every snapshot added = sent + dropped + waiting, while several threads add and publish."""
    outbox = Outbox(8, on_full)
    all_added, all_published = threading.Event(), threading.Event()
    violations: list[object] = []

    def watch() -> None:
        while not all_published.is_set():
            if not holds_invariant(outbox):
                violations.append(outbox.counters())

    publisher = threading.Thread(target=publish_until, args=(outbox, all_added), daemon=True)
    watcher = threading.Thread(target=watch, daemon=True)
    producers = [threading.Thread(target=add_messages, args=(outbox,), daemon=True) for _ in range(4)]
    for thread in (publisher, watcher, *producers):
        thread.start()
    for thread in producers:
        thread.join(JOIN_SECONDS)
    all_added.set()
    publisher.join(JOIN_SECONDS)
    all_published.set()
    watcher.join(JOIN_SECONDS)
    assert violations == []
    assert outbox.counters()["added"] == 12_000
    assert outbox.idle
