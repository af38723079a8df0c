"""The outbox against a model: operations in any order have the same effect on both."""

from collections import OrderedDict, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.messages.outbox import MAX_PENDING_STATUSES, Delivery, Outbox
from agent.messages.topics import Message
from messages.harness import POLICIES, Policy, status, usage


class _OutboxModel(RuleBasedStateMachine):
    """A slow and plain model of the outbox, beside a real one."""

    @initialize(capacity=st.integers(1, 4), on_full=st.sampled_from(POLICIES))
    def start(self, capacity: int, on_full: Policy) -> None:
        self.outbox = Outbox(capacity, on_full)
        self.capacity, self.on_full, self.closed = capacity, on_full, False
        self.usages: deque[Message] = deque()
        self.in_flight: list[Delivery] = []
        self.pending: OrderedDict[str, list[Message]] = OrderedDict()
        self.connected = False
        self.newest: OrderedDict[str, Message] = OrderedDict()
        self.rejected: dict[str, Message] = {}
        self.added = self.sent = self.dropped = 0

    def usages_in_flight(self) -> list[Delivery]:
        return [delivery for delivery in self.in_flight if delivery.is_usage]

    @rule()
    def add_usage(self) -> None:
        message = usage(self.added)
        full = len(self.usages) + len(self.usages_in_flight()) >= self.capacity
        drops_oldest = self.on_full == "drop_oldest" and bool(self.usages)
        self.added += 1
        self.dropped += full or self.closed
        if full and drops_oldest and not self.closed:
            self.usages.popleft()
        if not self.closed and (not full or drops_oldest):
            self.usages.append(message)
        assert self.outbox.add_usage(message) is not (full or self.closed)

    @rule(topic=st.sampled_from("abc"), payload=st.sampled_from([b"", b"x"]), retain=st.booleans())
    def add_status(self, topic: str, payload: bytes, retain: bool) -> None:
        message = status(topic, payload, retain)
        self.rejected.pop(topic, None)
        earlier = self.pending.pop(topic, [])
        self.pending[topic] = ([*earlier, message] if self.connected and retain else [message])[-MAX_PENDING_STATUSES:]
        self.newest.pop(topic, None)
        self.newest[topic] = message
        self.outbox.add_status(message)

    @rule()
    def note_connected(self) -> None:
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
    def ack_or_reject(self, data: st.DataObject, accepted: bool) -> None:
        delivery = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        message = delivery.message
        if delivery.is_usage:
            self.sent += accepted
            self.dropped += not accepted
        elif self.newest.get(message.topic) is message and not (message.retain and message.payload):
            del self.newest[message.topic]
        elif not accepted and self.newest.get(message.topic) is message:
            self.rejected[message.topic] = message
        (self.outbox.ack if accepted else self.outbox.reject)(delivery)

    @rule()
    def requeue(self) -> None:
        self.usages.extendleft(delivery.message for delivery in reversed(self.usages_in_flight()))
        self.in_flight = []
        self.pending = OrderedDict((topic, [message]) for topic, message in self.newest.items())
        self.connected = False
        self.rejected = {}
        self.outbox.requeue()

    @rule()
    def retry_rejected(self) -> None:
        self.pending |= {topic: [message] for topic, message in self.rejected.items()}
        self.rejected = {}
        self.outbox.retry_rejected()

    @rule(capacity=st.integers(1, 4), on_full=st.sampled_from(POLICIES))
    def set_limits(self, capacity: int, on_full: Policy) -> None:
        self.capacity, self.on_full = capacity, on_full
        self.outbox.set_limits(capacity, on_full)

    @rule()
    def close(self) -> None:
        self.closed = True
        self.outbox.close()

    @invariant()
    def outbox_equals_model(self) -> None:
        waiting = len(self.usages) + len(self.usages_in_flight())
        assert self.outbox.counters() == {
            "capacity": max(self.capacity, waiting),
            "waiting": waiting,
            "added": self.added,
            "sent": self.sent,
            "dropped": self.dropped,
        }
        assert self.added == self.sent + self.dropped + waiting
        assert self.outbox.idle is not bool(waiting or self.pending or self.in_flight)


TestOutboxModel = _OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
