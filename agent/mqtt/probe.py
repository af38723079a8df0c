"""Trying a broker for `usage-agent check`: may the agent connect, and publish below its host's topics?

Two answers decide, because publishing needs nothing else:

    CONNACK        whether the broker accepts the agent
    PUBACK         with MQTT 5, whether the agent may publish (section 3.4.2.1); MQTT 3.1.1 has no such answer, so there
                   the message has to come back through a subscription, or the connection to end because of it

The agent can do without its retained statuses and the broker's version, and so can this check. A broker may refuse the
subscriptions to them, or end the connection. With MQTT 3.1.1 the right to publish cannot be known then.

The message goes to `<base>/<host>/check`. It is not retained, and no other message has this topic.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent.config import BrokerSettings, default_client_id
from agent.messages.outbox import Delivery
from agent.messages.topics import MessageBuilder
from agent.mqtt.connection import Connection
from agent.mqtt.connector import Connector
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerError, BrokerRefusedError
from agent.mqtt.reachability import Reachability
from agent.mqtt.reason_codes import FIRST_FAILURE, ReasonCode, message_rejection
from agent.mqtt.subscription import Subscription
from agent.runtime.text import escape
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

ANSWER_SECONDS = 5.0  # for a PUBACK, a SUBACK, and for the message to come back
VERSION_TOPIC = "$SYS/broker/version"
VERSION_SECONDS = 0.5  # for the retained message with the version, which many brokers do not have
DISCONNECT_SECONDS = 1.0

UNKNOWN_VERSION = " (it does not tell this user its version, which is no matter)"

_WRITE_REMEDY = "let the agent's user write there, in the broker's access rules"
_READ_AND_WRITE_REMEDY = "let the agent's user write and read there, in the broker's access rules"
_NO_ANSWER = "MQTT 3.1.1 does not tell, and the broker does not let the agent subscribe there to see for itself"
_NOT_CORRECTED = "what it left retained there before stays uncorrected; all else works"


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """One result: `FAIL` if the agent cannot work with this broker, `warn` if that cannot be known."""

    verdict: Literal["ok", "note", "warn", "FAIL"]
    text: str


def probe(settings: BrokerSettings, host: str, base: str) -> list[ProbeLine]:
    """Try the first broker that answers.

    Args:
        settings: The broker.
        host: Name of the agent's host.
        base: First levels of every topic, `topics.base` of the configuration.

    Returns:
        The results, in the order of what was tried. No BrokerError is raised: it becomes a `FAIL`.
    """
    return _Probe(settings, host, base).run()


class _Probe:
    """One check. It has a client id of its own: with the agent's, the broker would end a running agent's connection."""

    def __init__(self, settings: BrokerSettings, host: str, base: str) -> None:
        self._client_id = f"{settings.client_id or default_client_id(host)}-check"
        self._connector = Connector(settings, self._client_id, None, Deadline(), WakeupEvent(), Watchdog())
        messages = MessageBuilder(base, host, settings.qos)
        self._own_topics = messages.own_topics
        self._root = self._own_topics.removesuffix("#")
        self._message = messages.check(secrets.token_hex(8))

    def run(self) -> list[ProbeLine]:
        """Try everything, and return the results."""
        try:
            connection = self._connector.connect()
        except BrokerError as error:
            error.close_unanswered()
            return [self._not_accepted(error)]
        try:
            return list(self._results(connection))
        except BrokerError as error:  # the second connection failed, or the broker ended one for another reason
            error.close_unanswered()
            return [ProbeLine("FAIL", str(error))]

    def _results(self, connection: Connection) -> Iterator[ProbeLine]:
        if puback_tells := connection.protocol == "5" and connection.capabilities.max_qos > 0:
            trouble = self._publish(connection)
            may_read = trouble is None and self._subscribe(connection)
        else:
            may_read = self._subscribe(connection)
            if not connection.is_open:
                connection = self._connector.connect()
            trouble = self._publish(connection) or (self._await_message(connection) if may_read else None)
        accepted = f"{connection.address} accepts the agent with MQTT {connection.protocol}"
        yield ProbeLine("ok", accepted + ("" if trouble else _version(connection)))
        connection.disconnect(DISCONNECT_SECONDS)
        if trouble:
            yield ProbeLine("FAIL", f"{connection.address} {trouble}")
            return
        if puback_tells or may_read:
            yield ProbeLine("ok", f"the agent may publish below {self._root}")
        else:
            yield ProbeLine("warn", f"whether the agent may publish below {self._root} cannot be known: {_NO_ANSWER}")
        if not may_read:
            yield ProbeLine("note", f"the agent may not read {self._own_topics}: {_NOT_CORRECTED}")

    def _publish(self, connection: Connection) -> str | None:
        """Publish the test message. Return what is wrong, as far as the broker tells; None if nothing is."""
        message = f"a message on {self._message.topic} (client id {self._client_id})"
        try:
            code = _publish_code(connection, Delivery(self._message, is_usage=False))
        except BrokerError:
            return f"ends the connection because of {message}; {_WRITE_REMEDY}"
        if code is None:
            return f"does not acknowledge {message}; the broker's log may say why"
        return f"does not take {message}: {message_rejection(code)}" if code >= FIRST_FAILURE else None

    def _subscribe(self, connection: Connection) -> bool:
        """Subscribe to the agent's own topics. Return whether the broker allows it; it may also end the connection."""
        connection.subscribe(Subscription(self._own_topics, expected=self._message.payload))
        try:
            connection.poll_until(lambda: connection.subscription_granted is not None, ANSWER_SECONDS)
        except BrokerError:
            return False
        return bool(connection.subscription_granted)

    def _await_message(self, connection: Connection) -> str | None:
        """Wait for the test message. Return what is wrong if it does not come; None if it does."""
        try:
            if connection.poll_until(lambda: connection.expected_arrived, ANSWER_SECONDS):
                return None
        except BrokerError:
            pass
        return f"delivers no message on {self._message.topic} (client id {self._client_id}); {_READ_AND_WRITE_REMEDY}"

    def _not_accepted(self, error: BrokerError) -> ProbeLine:
        """Return the result for a broker that does not accept the connection. It may only refuse the client id."""
        code = error.code if isinstance(error, BrokerRefusedError) else None
        if code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID:
            return ProbeLine(
                "warn",
                f"{error}. That is the client id of this check, {self._client_id}, not the agent's own because that "
                "would end a running agent's connection. So whether the agent is accepted cannot be known",
            )
        closed = any(seen.reachability is Reachability.CLOSING for seen in error.observations)
        if code == ReasonCode.NOT_AUTHORIZED or closed:
            return ProbeLine(
                "FAIL",
                f"{error} (this check connects as {self._client_id}: a broker that allows certain client ids only may "
                "refuse that one and still accept the agent)",
            )
        return ProbeLine("FAIL", str(error))


def _publish_code(connection: Connection, delivery: Delivery) -> int | None:
    """Publish, and return the reason code of the broker's answer; None if it does not answer in ANSWER_SECONDS."""
    if code := connection.publish(delivery):
        return code
    codes: list[int] = []

    def has_answered() -> bool:
        codes.extend(code for _, code in connection.take_acks())
        return bool(codes)

    return codes[0] if connection.poll_until(has_answered, ANSWER_SECONDS) else None


def _version(connection: Connection) -> str:
    """Return the broker's name and version in parentheses, if it publishes them, or an empty string."""
    if not connection.is_open:
        return ""
    connection.subscribe(Subscription(VERSION_TOPIC))
    retained: dict[str, bytes] = {}

    def has_answered() -> bool:
        retained.update(connection.take_retained())
        return VERSION_TOPIC in retained or connection.subscription_granted is False

    try:
        connection.poll_until(has_answered, VERSION_SECONDS)
    except BrokerError:
        return UNKNOWN_VERSION
    if connection.subscription_granted is False:
        return UNKNOWN_VERSION
    version = retained.get(VERSION_TOPIC, b"").decode(errors="replace")
    return f" ({escape(version)})" if version else ""
