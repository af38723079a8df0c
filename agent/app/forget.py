"""`usage-agent forget`: clears what the agent of a host has left retained on the broker, after the host is gone.

_read()  ─►  _is_running(): refuse  ─►  _own_topics(), in the order of clearing  ─►  _clear()  ─►  _read() again

The second `_read` is over a new connection. It shows what the broker really did: with MQTT 3.1.1 a broker acknowledges
even what it forbids.
"""

import shlex
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import orjson

from agent.config import BrokerSettings, Config
from agent.messages.outbox import Delivery
from agent.messages.topics import Message, MessageBuilder
from agent.mqtt.connection import Connection
from agent.mqtt.connector import Connector
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerError, BrokerRefusedError, BrokerUnreachableError
from agent.mqtt.reason_codes import FIRST_FAILURE, message_rejection
from agent.mqtt.subscription import Subscription
from agent.runtime.text import escape
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

AGENT_RUNS, BROKER_FAILED = 2, 4  # exit codes: the host's agent runs; the broker failed, as in `check`
QUIET_SECONDS = 1.0  # all retained messages have come if no other follows for so long: MQTT does not mark the last
ANSWER_SECONDS = 10.0  # for the broker to answer a subscription or a message
DISCONNECT_SECONDS = 1.0


def forget(config: Config, host: str, dry_run: bool) -> int:
    """Clear the retained messages of a host's agent, and print their topics.

    Args:
        config: the broker and the base of the topics.
        host: name of the host, as in `agent.host`.
        dry_run: only print what would be cleared.

    Returns:
        The exit code.
    """
    messages = MessageBuilder(config.topics.base, host, config.broker.qos)
    try:
        with _connected(config.broker) as connection:
            retained = _read(connection, messages.own_topics)
            if _is_running(retained.get(messages.agent_topic)):
                return _refuse(host, messages.agent_topic, connection)
            own = _own_topics(retained, messages)
            _print("left alone", sorted(retained.keys() - own), ": no status of usage-agent")
            if dry_run or not own:
                _print("would clear", own)
                print(f"{_number(own)} of host {escape(host)} at {connection.address}, below {messages.own_topics}")
                return 0
            refused = _clear(connection, own)
        with _connected(config.broker) as connection:
            remaining = _read(connection, messages.own_topics).keys() & set(own)
    except BrokerError as error:
        print(f"broker: {escape(str(error))}", file=sys.stderr)
        return BROKER_FAILED
    _print("cleared", [topic for topic in own if topic not in remaining])
    for topic in sorted(remaining):
        reason = refused.get(topic, "it is still there; let this account publish on it, in the broker's access rules")
        print(f"not cleared: {escape(topic)}: {reason}", file=sys.stderr)
    return BROKER_FAILED if remaining else 0


@contextmanager
def _connected(settings: BrokerSettings) -> Iterator[Connection]:
    """Connect with a client id of our own: with the agent's, the broker would end a running agent's connection."""
    client_id = f"{settings.client_id}-forget"
    connection = Connector(settings, client_id, None, Deadline(), WakeupEvent(), Watchdog()).connect()
    try:
        yield connection
    finally:
        connection.disconnect(DISCONNECT_SECONDS)


def _read(connection: Connection, topic_filter: str) -> dict[str, bytes]:
    """Return the payloads of the retained messages, by topic. Raises BrokerError."""
    connection.subscribe(Subscription(topic_filter))
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


def _is_running(payload: bytes | None) -> bool:
    return payload is not None and _status(payload) == "running"


def _refuse(host: str, topic: str, connection: Connection) -> int:
    clearing = f"mosquitto_pub -r -n -t {escape(shlex.quote(topic))}"
    print(
        f"the agent of host {escape(host)} runs, says {escape(topic)} at {connection.address}: stop it first; if it is "
        f"gone, and the broker has lost its will, clear this status: {clearing}",
        file=sys.stderr,
    )
    return AGENT_RUNS


def _own_topics(retained: Mapping[str, bytes], messages: MessageBuilder) -> list[str]:
    """Return the topics of the agent's retained messages, in the order of clearing.

    The agent's own status comes last: as long as other messages are left, it shows that there was an agent. A message
    without a status is not the agent's, and is left alone.
    """
    own = [topic for topic, payload in retained.items() if _status(payload) in ("running", "stopped")]
    containers = sorted(topic for topic in own if messages.level_of(topic) is not None)
    return containers + [topic for topic in own if topic == messages.agent_topic]


def _status(payload: bytes) -> object:
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return document.get("status") if isinstance(document, dict) else None


def _clear(connection: Connection, topics: Sequence[str]) -> dict[str, str]:
    """Clear the topics in their order. Return why the broker refuses, by topic. Raises BrokerError."""
    waiting = deque(Message(topic, b"", retain=True, qos=1) for topic in topics)
    refused: dict[str, str] = {}
    deadline = time.monotonic() + ANSWER_SECONDS
    while waiting or connection.in_flight:
        while waiting and len(connection.in_flight) < connection.capabilities.max_in_flight:
            message = waiting.popleft()
            if code := connection.publish(Delivery(message, is_usage=False)):
                refused[message.topic] = message_rejection(code)
        if (left := deadline - time.monotonic()) <= 0:
            raise BrokerUnreachableError(f"{connection.address} does not answer: not everything was cleared")
        connection.poll(left)
        for delivery, code in connection.acks():
            deadline = time.monotonic() + ANSWER_SECONDS
            if code >= FIRST_FAILURE:
                refused[delivery.message.topic] = message_rejection(code)
    return refused


def _print(what: str, topics: Sequence[str], remark: str = "") -> None:
    for topic in topics:
        print(f"{what:<12} {escape(topic)}{remark}")


def _number(topics: Sequence[str]) -> str:
    return f"{len(topics) or 'no'} retained message{'' if len(topics) == 1 else 's'}"
