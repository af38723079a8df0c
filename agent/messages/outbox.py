"""The buffer between the collectors and the publisher: bounded for usages, with every loss counted.

    add_usage() ──► usages   ─┐                       ┌─► ack()      usage sent, status delivered
                              ├─ take() ─► in flight ─┼─► reject()   usage dropped, status kept for retry_rejected()
    add_status() ─► statuses ─┘     ◄─────────────────┴── requeue()  connection lost: back to the front

Invariant, at every instant: added = sent + dropped + waiting, and waiting <= capacity. A usage in flight still counts
as waiting; it counts as sent when the broker has acknowledged it. Delivery is at least once. The newest retained status
of each topic is never lost. All operations take constant time, except requeue() and retry_rejected().
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.messages.counters import OutboxCounters
from agent.messages.topics import Message

MAX_PENDING_STATUSES = 4  # of one topic: a container may be published as running, exited, removed and cleared


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One attempt to deliver a message. Deliveries compare by identity: the same message may be delivered twice."""

    message: Message
    is_usage: bool


class Outbox:
    """Usages and statuses on their way to the publisher. Thread-safe; only `wait_idle` waits.

    Args:
        capacity: How many usages may wait. Statuses are bounded by the number of their topics.
        on_full: Which usage is dropped if `capacity` usages wait already.
        listener: Called after each addition, without the lock held.
    """

    def __init__(
        self,
        capacity: int,
        on_full: Literal["drop_newest", "drop_oldest"],
        listener: Callable[[], None] | None = None,
    ) -> None:
        self._capacity = capacity
        self._on_full = on_full
        self._listener = listener or (lambda: None)
        self._lock = threading.Lock()  # guards all that follows; nothing else is called or locked under it
        self._became_idle = threading.Condition(self._lock)
        self._usages: deque[Message] = deque()
        # OrderedDict and not dict: finding the first key of a dict scans the gaps that earlier removals have left.
        self._usages_in_flight: OrderedDict[Delivery, None] = OrderedDict()
        self._pending: OrderedDict[str, tuple[Message, ...]] = OrderedDict()  # statuses by topic, the oldest first
        self._statuses_in_flight: set[Delivery] = set()
        self._newest: OrderedDict[str, Message] = OrderedDict()  # by topic: what requeue() sends again
        self._rejected: dict[str, Message] = {}  # retained statuses by topic, until retry_rejected()
        self._added = self._sent = self._dropped = 0
        self._closed = self._connected = False

    def set_limits(self, capacity: int, on_full: Literal["drop_newest", "drop_oldest"]) -> None:
        """Change both arguments of the constructor. No waiting usage is dropped because of that.

        While more usages wait than the new capacity allows, `counters` returns their number as the capacity. It falls
        as they leave. Until then each new usage causes one to be dropped, as `on_full` says.
        """
        with self._lock:
            self._capacity, self._on_full = capacity, on_full

    def set_listener(self, listener: Callable[[], None]) -> None:
        """Set what is called after each addition, without the lock held."""
        self._listener = listener

    def add_usage(self, message: Message) -> bool:
        """Add a usage. Return False if this usage or the oldest was dropped, because the outbox is full or closed."""
        with self._lock:
            self._added += 1
            full = self._waiting() >= self._capacity
            # A usage in flight cannot be withdrawn, so it cannot make room.
            if self._closed or (full and (self._on_full == "drop_newest" or not self._usages)):
                self._dropped += 1
                return False
            if full:
                self._usages.popleft()
                self._dropped += 1
            self._usages.append(message)
        self._listener()
        return not full

    def note_connected(self) -> None:
        """Note that there is a connection. Until requeue(), add_status() keeps several statuses of one topic."""
        with self._lock:
            self._connected = True

    def add_status(self, message: Message) -> None:
        """Add a status behind all others. It replaces the statuses of its topic that still wait.

        While there is a connection, a retained status does not replace them: the last MAX_PENDING_STATUSES of a topic
        are sent in their order. So subscribers see that a container has run, even if it ended within milliseconds.
        """
        with self._lock:
            self._rejected.pop(message.topic, None)
            self._newest[message.topic] = message
            self._newest.move_to_end(message.topic)
            earlier = self._pending.pop(message.topic, ())
            keep = self._connected and message.retain
            self._pending[message.topic] = (*earlier, message)[-MAX_PENDING_STATUSES:] if keep else (message,)
        self._listener()

    def take(self) -> Delivery | None:
        """Return what is to be sent next, statuses before usages; None if nothing waits to be sent."""
        with self._lock:
            if self._pending:
                topic, (message, *later) = self._pending.popitem(last=False)
                if later:
                    self._pending[topic] = tuple(later)
                    self._pending.move_to_end(topic, last=False)
                delivery = Delivery(message, is_usage=False)
                self._statuses_in_flight.add(delivery)
                return delivery
            if self._usages:
                delivery = Delivery(self._usages.popleft(), is_usage=True)
                self._usages_in_flight[delivery] = None
                return delivery
            return None

    def ack(self, delivery: Delivery) -> None:
        """Note that the broker has acknowledged a delivery: a usage is sent."""
        with self._lock:
            self._sent += self._remove_in_flight(delivery)

    def reject(self, delivery: Delivery) -> None:
        """Note that the broker rejects a delivery: a usage is dropped, a retained status waits for retry_rejected()."""
        with self._lock:
            message, in_flight = delivery.message, delivery in self._statuses_in_flight
            self._dropped += self._remove_in_flight(delivery)
            if in_flight and self._newest.get(message.topic) is message:
                self._rejected[message.topic] = message

    def retry_rejected(self) -> None:
        """Send the rejected retained statuses again: the broker's access rules may have been changed."""
        with self._lock:
            self._pending.update((topic, (message,)) for topic, message in self._rejected.items())
            self._rejected.clear()

    def requeue(self) -> None:
        """Start over after a lost connection: usages in flight wait again, in their order, before all others.

        Every retained status is sent again, because a broker may have lost what it had retained. Acknowledgements and
        rejections of earlier deliveries are ignored from now on.
        """
        with self._lock:
            self._usages.extendleft(delivery.message for delivery in reversed(self._usages_in_flight))
            self._usages_in_flight.clear()
            self._statuses_in_flight.clear()
            self._pending = OrderedDict((topic, (message,)) for topic, message in self._newest.items())
            self._connected = False
            self._rejected.clear()

    def resend_retained(self, first: str) -> None:
        """Send every retained status again, those first whose topics start with `first`."""
        with self._lock:
            retained = [(topic, message) for topic, message in self._newest.items() if message.retain]
            for topic, message in sorted(retained, key=lambda item: not item[0].startswith(first)):
                self._pending.setdefault(topic, (message,))
        self._listener()

    def is_cleared(self, topic: str) -> bool:
        """Return whether no status of this topic is left to send, now or again.

        That is so if none was added, or if the last one was empty, which clears the topic, and the broker has answered.
        """
        with self._lock:
            return topic not in self._newest

    def close(self) -> None:
        """Accept no more usages: they are dropped and counted. Statuses are still accepted."""
        with self._lock:
            self._closed = True

    def counters(self) -> OutboxCounters:
        """Return a consistent snapshot of the counters."""
        with self._lock:
            return {
                "capacity": max(self._capacity, self._waiting()),
                "waiting": self._waiting(),
                "added": self._added,
                "sent": self._sent,
                "dropped": self._dropped,
            }

    @property
    def idle(self) -> bool:
        """Whether nothing waits or is in flight."""
        with self._lock:
            return self._idle()

    @property
    def statuses_delivered(self) -> bool:
        """Whether every status was acknowledged or rejected: none is queued or in flight."""
        with self._lock:
            return not self._pending and not self._statuses_in_flight

    def wait_idle(self, timeout: float) -> bool:
        """Wait until the outbox is idle, for at most `timeout` seconds. Return whether it is idle."""
        with self._lock:
            return self._became_idle.wait_for(self._idle, timeout)

    def _waiting(self) -> int:
        return len(self._usages) + len(self._usages_in_flight)

    def _idle(self) -> bool:
        return not self._waiting() and not self._pending and not self._statuses_in_flight

    def _remove_in_flight(self, delivery: Delivery) -> bool:
        """Remove a delivery, unless requeue() has removed it. Return whether it was a usage in flight."""
        if delivery.is_usage:
            removed = delivery in self._usages_in_flight
            self._usages_in_flight.pop(delivery, None)
        else:
            removed = False
            if delivery in self._statuses_in_flight:
                self._statuses_in_flight.remove(delivery)
                self._forget_unless_retained(delivery.message)
        if self._idle():
            self._became_idle.notify_all()
        return removed

    def _forget_unless_retained(self, message: Message) -> None:
        """Forget a status that requeue() need not send again: one that the broker does not retain, or a clearing."""
        retained = message.retain and message.payload
        if not retained and self._newest.get(message.topic) is message:
            del self._newest[message.topic]
