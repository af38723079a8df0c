"""For commands that connect to the broker, read or write retained messages, and disconnect."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from agent.config import BrokerSettings
from agent.messages.outbox import Delivery
from agent.messages.topics import Message
from agent.mqtt.connection import Connection
from agent.mqtt.connector import Connector
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerRefusedError, BrokerUnreachableError
from agent.mqtt.reason_codes import FIRST_FAILURE, message_rejection
from agent.mqtt.subscription import Subscription
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

QUIET_SECONDS = 1.0  # all retained messages have come if no other follows for so long: MQTT does not mark the last
ANSWER_SECONDS = 10.0  # for the broker to answer a subscription or a message
DISCONNECT_SECONDS = 1.0


@contextmanager
def connected(settings: BrokerSettings, command: str) -> Iterator[Connection]:
    """Connect, and disconnect after the block. Raises BrokerError.

    The client id is the command's own: with the agent's, the broker would end a running agent's connection.
    """
    client_id = f"{settings.client_id}-{command}"
    connection = Connector(settings, client_id, None, Deadline(), WakeupEvent(), Watchdog()).connect()
    try:
        yield connection
    finally:
        connection.disconnect(DISCONNECT_SECONDS)


def read_retained(connection: Connection, topic_filter: str) -> dict[str, bytes]:
    """Return the payloads of the retained messages, by topic. Raises BrokerError."""
    # With some payload as `expected`, MQTT 5 also delivers what this connection itself has published.
    connection.subscribe(Subscription(topic_filter, expected=b""))
    _wait_for_subscription(connection, topic_filter)
    retained = connection.take_retained()
    quiet_at = time.monotonic() + QUIET_SECONDS
    while (left := quiet_at - time.monotonic()) > 0:
        connection.poll(left)
        if arrived := connection.take_retained():
            retained |= arrived
            quiet_at = time.monotonic() + QUIET_SECONDS
    return retained


def _wait_for_subscription(connection: Connection, topic_filter: str) -> None:
    if not connection.poll_until(lambda: connection.subscription_granted is not None, ANSWER_SECONDS):
        raise BrokerUnreachableError(f"{connection.address} does not answer a subscription to {topic_filter}")
    if not connection.subscription_granted:
        raise BrokerRefusedError(
            f"{connection.address} does not let this account read {topic_filter}; "
            "use an account that may read and write these topics"
        )


def publish_all(connection: Connection, messages: Iterable[Message]) -> dict[str, str]:
    """Publish messages in their order. Return the reason for each refused one, by topic. Raises BrokerError."""
    waiting = deque(messages)
    refused: dict[str, str] = {}
    deadline = time.monotonic() + ANSWER_SECONDS
    while waiting or connection.in_flight:
        while waiting and len(connection.in_flight) < connection.capabilities.max_in_flight:
            message = waiting.popleft()
            if code := connection.publish(Delivery(message, is_usage=False)):
                refused[message.topic] = message_rejection(code)
        if (left := deadline - time.monotonic()) <= 0:
            raise BrokerUnreachableError(f"{connection.address} does not answer: not everything was published")
        connection.poll(left)
        for delivery, code in connection.take_acks():
            deadline = time.monotonic() + ANSWER_SECONDS
            if code >= FIRST_FAILURE:
                refused[delivery.message.topic] = message_rejection(code)
    return refused
