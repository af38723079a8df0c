"""Where messages wait for the broker: usages bounded and every loss counted, each topic's newest status never lost.

    put() ──────► usages    ─┐                  ┌─► acknowledged()  sent, or a status that arrived
                             ├─ take() ► in flight ─► refused()      dropped, or a status that waits for repeat()
    announce() ─► statuses  ─┘        ◄─────────┴─── restore()       the connection broke: back to the front

The law, at every instant: added = sent + dropped + waiting, and waiting <= capacity. What is in flight still waits:
it is not sent before the broker has said so. All operations take constant time, except restore().
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.messages.payloads import OutboxCounters
from agent.messages.topics import Message

MAX_PENDING_STATUSES = (
    4  # statuses of a topic that wait one behind the other: a container may run, exit, be removed and forgotten
)


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One message on its way to the broker. Two deliveries of one message are two: they compare by identity."""

    message: Message
    is_usage: bool


class Outbox:
    """Messages between the collectors and the publisher; every method may be called from any thread, none blocks.

    `capacity` bounds the usages; statuses are bounded by the number of their topics. `wake` is called, outside the
    lock, whenever there is something new to take.
    """

    def __init__(
        self,
        capacity: int,
        on_full: Literal["drop_newest", "drop_oldest"],
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._capacity = capacity
        self._on_full = on_full
        self._wake = wake or (lambda: None)
        self._changed = threading.Condition(threading.Lock())
        self._usages: deque[Message] = deque()
        # OrderedDict and not dict: taking the first of a dict scans the holes that earlier takings have left.
        self._usages_in_flight: OrderedDict[Delivery, None] = OrderedDict()
        self._pending: OrderedDict[str, tuple[Message, ...]] = OrderedDict()
        self._statuses_in_flight: set[Delivery] = set()
        self._newest: OrderedDict[str, Message] = OrderedDict()
        self._refused: dict[str, Message] = {}  # retained statuses that are not on the broker for now
        self._added = self._sent = self._dropped = 0
        self._closed = self._connected = False

    def set_listener(self, wake: Callable[[], None]) -> None:
        """Set what is called when there is something new to take."""
        self._wake = wake

    def add_usage(self, message: Message) -> bool:
        """Add a usage; False when this one, or the oldest in its stead, was dropped."""
        with self._changed:
            self._added += 1
            full = self._waiting() >= self._capacity
            # What is in flight cannot be called back, so it cannot make room.
            if self._closed or (full and (self._on_full == "drop_newest" or not self._usages)):
                self._dropped += 1
                return False
            if full:
                self._usages.popleft()
                self._dropped += 1
            self._usages.append(message)
        self._wake()
        return not full

    def note_connected(self) -> None:
        """Note that there is a connection, until restore(): what is announced leaves in a moment."""
        with self._changed:
            self._connected = True

    def add_status(self, message: Message) -> None:
        """Add a status: the newest of its topic is what counts in the end, and goes to the end of the statuses.

        It replaces the others. But while there is a connection the last few go out in their order: a container that
        ends within milliseconds has run nevertheless.
        """
        with self._changed:
            self._refused.pop(message.topic, None)
            self._newest[message.topic] = message
            self._newest.move_to_end(message.topic)
            earlier = self._pending.pop(message.topic, ())
            keep = self._connected and message.retain
            self._pending[message.topic] = (*earlier, message)[-MAX_PENDING_STATUSES:] if keep else (message,)
        self._wake()

    def take(self) -> Delivery | None:
        """Return what is to be sent next, statuses first, or None."""
        with self._changed:
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
        """Note that the broker has it: a usage is sent."""
        with self._changed:
            self._sent += self._land(delivery)

    def reject(self, delivery: Delivery) -> None:
        """Note that the broker will not have it: a usage is dropped, a retained status waits for repeat()."""
        with self._changed:
            message, in_flight = delivery.message, delivery in self._statuses_in_flight
            self._dropped += self._land(delivery)
            if in_flight and self._newest.get(message.topic) is message:
                self._refused[message.topic] = message

    def retry_rejected(self) -> None:
        """Try the retained statuses again that were refused: somebody may have changed the broker's mind."""
        with self._changed:
            self._pending.update((topic, (message,)) for topic, message in self._refused.items())
            self._refused.clear()

    def requeue(self) -> None:
        """Start over, the connection is lost: what was in flight waits again, in its order, before everything else.

        Every retained status is pending again, for a broker may have lost what it had retained. Deliveries taken
        before mean nothing any more.
        """
        with self._changed:
            self._usages.extendleft(delivery.message for delivery in reversed(self._usages_in_flight))
            self._usages_in_flight.clear()
            self._statuses_in_flight.clear()
            self._pending = OrderedDict((topic, (message,)) for topic, message in self._newest.items())
            self._connected = False
            self._refused.clear()

    def close(self) -> None:
        """Accept no more usages: they are dropped and counted. Statuses are accepted to the last."""
        with self._changed:
            self._closed = True

    def counters(self) -> OutboxCounters:
        """Return one consistent snapshot."""
        with self._changed:
            return {
                "capacity": self._capacity,
                "waiting": self._waiting(),
                "added": self._added,
                "sent": self._sent,
                "dropped": self._dropped,
            }

    @property
    def idle(self) -> bool:
        """Whether the broker has everything: no usage waits, and no status is pending or in flight."""
        with self._changed:
            return self._idle()

    @property
    def statuses_delivered(self) -> bool:
        """Whether the broker has every status, whatever usages may wait."""
        with self._changed:
            return not self._pending and not self._statuses_in_flight

    def wait_idle(self, timeout: float) -> bool:
        """Wait until idle, at most `timeout` seconds; whether it is."""
        with self._changed:
            return self._changed.wait_for(self._idle, timeout)

    def _waiting(self) -> int:
        return len(self._usages) + len(self._usages_in_flight)

    def _idle(self) -> bool:
        return not self._waiting() and not self._pending and not self._statuses_in_flight

    def _land(self, delivery: Delivery) -> bool:
        """Take it out of flight; whether that was a usage. Since restore() it may not be in flight any more."""
        if delivery.is_usage:
            landed = delivery in self._usages_in_flight
            self._usages_in_flight.pop(delivery, None)
        else:
            landed = False
            if delivery in self._statuses_in_flight:
                self._statuses_in_flight.remove(delivery)
                self._forget(delivery.message)
        if self._idle():
            self._changed.notify_all()
        return landed

    def _forget(self, message: Message) -> None:
        """Drop a status that need not be repeated, unless a newer one has taken its place."""
        repeated = message.retain and message.payload
        if not repeated and self._newest.get(message.topic) is message:
            del self._newest[message.topic]
