"""What a connection subscribes to, and which of the messages that come in are kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


def _always(_topic: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription to one or several topic filters, by one SUBSCRIBE.

    Attributes:
        topic_filter: The main filter. The subscription counts as granted if the broker grants this filter.
        optional: Further filters, each of which the broker may refuse, and what the agent cannot do without it.
        wants: Returns whether the retained message of a topic is kept. By default all are.
        live: Topics of `optional` that stay subscribed: their later messages are kept as well.
        stream: Whether all messages are kept in the order of their arrival, for `Connection.take_stream` alone.
        expected: Payload of a message that this client publishes itself, and that has to come back. None: there is
            none, and with MQTT 5 the client's own messages do not come back (section 3.8.3.1, No Local).
    """

    topic_filter: str
    optional: Mapping[str, str] = field(default_factory=dict)
    wants: Callable[[str], bool] = field(default=_always)
    live: tuple[str, ...] = ()
    stream: bool = False
    expected: bytes | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        """All filters, the main one first."""
        return (self.topic_filter, *self.optional)

    @property
    def temporary(self) -> list[str]:
        """The filters that are subscribed only until the retained messages have come."""
        return [name for name in self.filters if name not in self.live]
