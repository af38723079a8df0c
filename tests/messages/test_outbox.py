"""The outbox: every usage is accounted for, and the newest status of a topic arrives."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import count
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.messages.outbox import MAX_PENDING_STATUSES, Delivery, Outbox
from agent.messages.topics import Message

Policy = Literal["drop_newest", "drop_oldest"]
POLICIES: tuple[Policy, ...] = ("drop_newest", "drop_oldest")
both_policies = pytest.mark.parametrize("on_full", POLICIES)


def usage(number: int) -> Message:
    return Message("containers/h/c/usage", b"%d" % number, retain=False, qos=1)


def status(topic: str, payload: bytes = b"running", retain: bool = True) -> Message:
    return Message(topic, payload, retain=retain, qos=1)


def take(outbox: Outbox) -> Delivery:
    delivery = outbox.take()
    assert delivery is not None
    return delivery


def taken(outbox: Outbox) -> Iterator[Delivery]:
    while (delivery := outbox.take()) is not None:
        yield delivery


def lawful(outbox: Outbox) -> bool:
    counters = outbox.counters()
    accounted = counters["sent"] + counters["dropped"] + counters["waiting"]
    return counters["added"] == accounted and 0 <= counters["waiting"] <= counters["capacity"]


def test_full_drop_newest() -> None:
    """drop_newest keeps the usages that came first, and says so."""
    outbox = Outbox(2, "drop_newest")
    assert [outbox.add_usage(usage(n)) for n in range(4)] == [True, True, False, False]
    assert [delivery.message.payload for delivery in taken(outbox)] == [b"0", b"1"]
    assert outbox.counters() == {"capacity": 2, "waiting": 2, "added": 4, "sent": 0, "dropped": 2}


def test_full_drop_oldest() -> None:
    """drop_oldest keeps the usages that came last, and says so."""
    outbox = Outbox(2, "drop_oldest")
    assert [outbox.add_usage(usage(n)) for n in range(4)] == [True, True, False, False]
    assert [delivery.message.payload for delivery in taken(outbox)] == [b"2", b"3"]
    assert outbox.counters() == {"capacity": 2, "waiting": 2, "added": 4, "sent": 0, "dropped": 2}


def test_in_flight_is_never_dropped() -> None:
    """Where everything is in flight, drop_oldest has nothing old to drop: the newest goes."""
    outbox = Outbox(1, "drop_oldest")
    outbox.add_usage(usage(0))
    delivery = take(outbox)
    assert not outbox.add_usage(usage(1))
    outbox.ack(delivery)
    assert outbox.take() is None
    assert outbox.counters() == {"capacity": 1, "waiting": 0, "added": 2, "sent": 1, "dropped": 1}


def test_refused_usage_is_dropped() -> None:
    """A usage that the broker will not have is dropped, not sent."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_usage(usage(0))
    outbox.reject(take(outbox))
    assert outbox.counters() == {"capacity": 1, "waiting": 0, "added": 1, "sent": 0, "dropped": 1}


def test_statuses_go_first() -> None:
    """Statuses are sent before waiting usages, in the order in which they were announced."""
    outbox = Outbox(10, "drop_newest")
    outbox.add_usage(usage(0))
    outbox.add_status(status("b"))
    outbox.add_status(status("a"))
    assert [delivery.message.topic for delivery in taken(outbox)] == ["b", "a", "containers/h/c/usage"]


def test_newest_status_wins() -> None:
    """Of one topic only the newest is sent, at the place where it was announced last."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a", b"old"))
    outbox.add_status(status("b"))
    outbox.add_status(status("a", b"new"))
    assert [(delivery.message.topic, delivery.message.payload) for delivery in taken(outbox)] == [
        ("b", b"running"),
        ("a", b"new"),
    ]


def test_a_brief_life_is_told_whole() -> None:
    """While there is a connection a status does not replace one that waits: both are sent, and the newest is last."""
    outbox = Outbox(1, "drop_newest")
    outbox.note_connected()
    for payload in (b"old", b"running", b"exited", b"removed", b""):
        outbox.add_status(status("a", payload))
    outbox.add_status(status("passing", b"1", retain=False))
    outbox.add_status(status("passing", b"2", retain=False))
    assert [delivery.message.payload for delivery in taken(outbox)] == [b"running", b"exited", b"removed", b"", b"2"]


def test_old_news_is_not_told_after_a_lost_connection() -> None:
    """Whoever was away is told how things are, and not how they came to be so."""
    outbox = Outbox(1, "drop_newest")
    outbox.note_connected()
    outbox.add_status(status("a", b"running"))
    outbox.add_status(status("a", b"exited"))
    outbox.requeue()
    assert [delivery.message.payload for delivery in taken(outbox)] == [b"exited"]
    outbox.add_status(status("a", b"removed"))
    outbox.add_status(status("a", b""))
    assert [delivery.message.payload for delivery in taken(outbox)] == [b""]


def test_newer_status_while_one_is_in_flight() -> None:
    """A status announced while an older one is in flight is sent too, and is the one that is repeated."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a", b"old"))
    old = take(outbox)
    outbox.add_status(status("a", b"new"))
    outbox.ack(old)
    new = take(outbox)
    assert new.message.payload == b"new"
    outbox.ack(new)
    outbox.requeue()
    assert [delivery.message.payload for delivery in taken(outbox)] == [b"new"]


def test_restore_keeps_the_order() -> None:
    """After a lost connection what was in flight is sent first, in its order; nothing is counted twice."""
    outbox = Outbox(10, "drop_newest")
    for number in range(5):
        outbox.add_usage(usage(number))
    first, second, third = take(outbox), take(outbox), take(outbox)
    outbox.ack(second)
    outbox.requeue()
    outbox.ack(first)  # an answer that comes too late means nothing
    outbox.reject(third)
    assert [delivery.message.payload for delivery in taken(outbox)] == [b"0", b"2", b"3", b"4"]
    assert outbox.counters() == {"capacity": 10, "waiting": 4, "added": 5, "sent": 1, "dropped": 0}


def test_restore_repeats_retained_statuses() -> None:
    """A broker may have lost what it retained: after a lost connection all of it is sent again, and only that."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a"))
    outbox.add_status(status("cleared", b""))
    outbox.add_status(status("passing", b"counters", retain=False))
    for delivery in taken(outbox):
        outbox.ack(delivery)
    outbox.requeue()
    assert [delivery.message.topic for delivery in taken(outbox)] == ["a"]


def test_unacknowledged_clearing_is_repeated() -> None:
    """A topic whose clearing was not acknowledged is cleared again after a lost connection."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_status(status("a"))
    outbox.ack(take(outbox))
    outbox.add_status(status("a", b""))
    take(outbox)
    outbox.requeue()
    cleared = take(outbox)
    assert cleared.message.payload == b""
    outbox.ack(cleared)
    outbox.requeue()
    assert outbox.take() is None


def test_refused_status() -> None:
    """A refused status is left alone until it is announced again, all are repeated or the connection is a new one."""
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


@both_policies
def test_closed(on_full: Policy) -> None:
    """After close() usages are dropped and counted; statuses are accepted to the last."""
    outbox = Outbox(10, on_full)
    outbox.add_usage(usage(0))
    outbox.close()
    assert not outbox.add_usage(usage(1))
    outbox.add_status(status("a", b"stopped"))
    assert [delivery.message.payload for delivery in taken(outbox)] == [b"stopped", b"0"]
    assert outbox.counters() == {"capacity": 10, "waiting": 1, "added": 2, "sent": 0, "dropped": 1}


def test_wake() -> None:
    """The publisher is woken for every new thing to take, outside the lock, and not for a dropped usage."""
    outbox = Outbox(1, "drop_newest")
    woken: list[int] = []
    outbox.set_listener(lambda: woken.append(outbox.counters()["waiting"]))  # would deadlock under the lock
    outbox.add_usage(usage(0))
    outbox.add_usage(usage(1))
    outbox.add_status(status("a"))
    assert woken == [1, 1]


def test_idle() -> None:
    """Idle is when the broker has everything: what is in flight, usage or status, is not there yet."""
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


def test_wait_idle_is_woken() -> None:
    """wait_idle ends with the last acknowledgement."""
    outbox = Outbox(1, "drop_newest")
    outbox.add_usage(usage(0))
    delivery = take(outbox)
    waiter = threading.Thread(target=outbox.wait_idle, args=(60,), daemon=True)
    waiter.start()
    outbox.ack(delivery)
    waiter.join(30)
    assert not waiter.is_alive()


def test_memory_does_not_grow() -> None:
    """Tens of thousands of messages over few topics leave as many statuses behind as there are retained topics."""
    outbox = Outbox(5, "drop_oldest")
    for number in range(10_000):
        outbox.add_usage(usage(number))
        outbox.add_status(status(f"kept/{number % 7}", b"%d" % number))
        outbox.add_status(status(f"cleared/{number}", b""))
        outbox.add_status(status(f"passing/{number}", retain=False))
        for delivery in taken(outbox):
            (outbox.reject if number % 3 else outbox.ack)(delivery)
    assert outbox.idle
    outbox.requeue()
    assert sorted(delivery.message.topic for delivery in taken(outbox)) == [f"kept/{n}" for n in range(7)]


def produce(outbox: Outbox) -> None:
    for number in range(3000):
        outbox.add_usage(usage(number))
        if number % 10 == 0:
            outbox.add_status(status(f"s/{number % 70}"))


def publish(outbox: Outbox, finished: threading.Event) -> None:
    for turn in count():
        delivery = outbox.take()
        if delivery is None and finished.is_set():
            return
        if turn % 50 == 49:
            outbox.requeue()
        elif delivery is not None:
            (outbox.reject if turn % 7 == 0 else outbox.ack)(delivery)


@both_policies
def test_law_with_threads(on_full: Policy) -> None:
    """In every snapshot added = sent + dropped + waiting, whatever several threads do at the same time."""
    outbox = Outbox(8, on_full)
    finished, ending = threading.Event(), threading.Event()
    broken: list[object] = []

    def watch() -> None:
        while not ending.is_set():
            if not lawful(outbox):
                broken.append(outbox.counters())

    publisher = threading.Thread(target=publish, args=(outbox, finished), daemon=True)
    watcher = threading.Thread(target=watch, daemon=True)
    producers = [threading.Thread(target=produce, args=(outbox,), daemon=True) for _ in range(4)]
    for thread in (publisher, watcher, *producers):
        thread.start()
    for thread in producers:
        thread.join(60)
    finished.set()
    publisher.join(60)
    ending.set()
    watcher.join(60)
    assert broken == []
    assert outbox.counters()["added"] == 12_000
    assert outbox.idle


class _AnyOrder(RuleBasedStateMachine):
    """Whatever is done in whatever order, the outbox does what a slow and plain model of it does."""

    @initialize(capacity=st.integers(1, 4), on_full=st.sampled_from(POLICIES))
    def start(self, capacity: int, on_full: Policy) -> None:
        self.outbox = Outbox(capacity, on_full)
        self.capacity, self.on_full, self.closed = capacity, on_full, False
        self.usages: deque[Message] = deque()
        self.in_flight: list[Delivery] = []
        self.pending: OrderedDict[str, list[Message]] = OrderedDict()
        self.connected = False
        self.newest: OrderedDict[str, Message] = OrderedDict()
        self.refused: dict[str, Message] = {}
        self.added = self.sent = self.dropped = 0

    def usages_in_flight(self) -> list[Delivery]:
        return [delivery for delivery in self.in_flight if delivery.is_usage]

    @rule()
    def put(self) -> None:
        message = usage(self.added)
        full = len(self.usages) + len(self.usages_in_flight()) == self.capacity
        oldest_goes = self.on_full == "drop_oldest" and bool(self.usages)
        self.added += 1
        self.dropped += full or self.closed
        if full and oldest_goes and not self.closed:
            self.usages.popleft()
        if not self.closed and (not full or oldest_goes):
            self.usages.append(message)
        assert self.outbox.add_usage(message) is not (full or self.closed)

    @rule(topic=st.sampled_from("abc"), payload=st.sampled_from([b"", b"x"]), retain=st.booleans())
    def announce(self, topic: str, payload: bytes, retain: bool) -> None:
        message = status(topic, payload, retain)
        self.refused.pop(topic, None)
        earlier = self.pending.pop(topic, [])
        self.pending[topic] = ([*earlier, message] if self.connected and retain else [message])[-MAX_PENDING_STATUSES:]
        self.newest.pop(topic, None)
        self.newest[topic] = message
        self.outbox.add_status(message)

    @rule()
    def connect(self) -> None:
        self.connected = True
        self.outbox.note_connected()

    @rule()
    def take(self) -> None:
        delivery = self.outbox.take()
        first = next(iter(self.pending.values()), None)
        expected = first[0] if first else self.usages[0] if self.usages else None
        assert (delivery.message if delivery else None) is expected
        if delivery is None:
            return
        assert delivery.is_usage is not bool(self.pending)
        if first:
            first.pop(0)
            self.pending = OrderedDict((topic, waiting) for topic, waiting in self.pending.items() if waiting)
        else:
            self.usages.popleft()
        self.in_flight.append(delivery)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), accepted=st.booleans())
    def answer(self, data: st.DataObject, accepted: bool) -> None:
        delivery = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        message = delivery.message
        if delivery.is_usage:
            self.sent += accepted
            self.dropped += not accepted
        elif self.newest.get(message.topic) is message and not (message.retain and message.payload):
            del self.newest[message.topic]
        elif not accepted and self.newest.get(message.topic) is message:
            self.refused[message.topic] = message
        (self.outbox.ack if accepted else self.outbox.reject)(delivery)

    @rule()
    def restore(self) -> None:
        self.usages.extendleft(delivery.message for delivery in reversed(self.usages_in_flight()))
        self.in_flight = []
        self.pending = OrderedDict((topic, [message]) for topic, message in self.newest.items())
        self.connected = False
        self.refused = {}
        self.outbox.requeue()

    @rule()
    def repeat(self) -> None:
        self.pending |= {topic: [message] for topic, message in self.refused.items()}
        self.refused = {}
        self.outbox.retry_rejected()

    @rule()
    def close(self) -> None:
        self.closed = True
        self.outbox.close()

    @invariant()
    def same(self) -> None:
        waiting = len(self.usages) + len(self.usages_in_flight())
        assert waiting <= self.capacity
        assert self.outbox.counters() == {
            "capacity": self.capacity,
            "waiting": waiting,
            "added": self.added,
            "sent": self.sent,
            "dropped": self.dropped,
        }
        assert self.added == self.sent + self.dropped + waiting
        assert self.outbox.idle is not bool(waiting or self.pending or self.in_flight)


TestAnyOrder = _AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
