"""MQTT 5 reason codes and what to do about each.

Sections of the MQTT 5.0 specification: 2.4 lists all codes; 3.2.2.2 those of CONNACK, 3.14.2.1 of DISCONNECT, 3.4.2.1
and 3.5.2.1 of PUBACK and PUBREC. Paho translates the return codes of MQTT 3.1.1's CONNACK (section 3.2.2.3) into these.
"""

from enum import IntEnum

FIRST_FAILURE = 0x80  # MQTT 5, section 2.4: this code and all above it are failures


class ReasonCode(IntEnum):
    """The failures that the agent handles or has a remedy for. Brokers may send others."""

    UNSPECIFIED_ERROR = 0x80  # CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT; also paho's for a lost connection
    PROTOCOL_ERROR = 0x82  # CONNACK, DISCONNECT
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83  # CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT
    UNSUPPORTED_PROTOCOL_VERSION = 0x84  # CONNACK
    CLIENT_IDENTIFIER_NOT_VALID = 0x85  # CONNACK
    BAD_USER_NAME_OR_PASSWORD = 0x86  # CONNACK
    NOT_AUTHORIZED = 0x87  # CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT
    SERVER_UNAVAILABLE = 0x88  # CONNACK
    SERVER_BUSY = 0x89  # CONNACK, DISCONNECT
    BANNED = 0x8A  # CONNACK
    SERVER_SHUTTING_DOWN = 0x8B  # DISCONNECT
    KEEP_ALIVE_TIMEOUT = 0x8D  # DISCONNECT; also what paho reports if no PINGRESP came
    SESSION_TAKEN_OVER = 0x8E  # DISCONNECT
    TOPIC_FILTER_INVALID = 0x8F  # SUBACK, UNSUBACK, DISCONNECT
    TOPIC_NAME_INVALID = 0x90  # CONNACK, PUBACK, PUBREC, DISCONNECT
    RECEIVE_MAXIMUM_EXCEEDED = 0x93  # DISCONNECT
    PACKET_TOO_LARGE = 0x95  # CONNACK, DISCONNECT
    QUOTA_EXCEEDED = 0x97  # CONNACK, PUBACK, PUBREC, SUBACK, DISCONNECT
    ADMINISTRATIVE_ACTION = 0x98  # DISCONNECT
    PAYLOAD_FORMAT_INVALID = 0x99  # CONNACK, PUBACK, PUBREC, DISCONNECT
    RETAIN_NOT_SUPPORTED = 0x9A  # CONNACK, DISCONNECT
    QOS_NOT_SUPPORTED = 0x9B  # CONNACK, DISCONNECT
    USE_ANOTHER_SERVER = 0x9C  # CONNACK, DISCONNECT
    SERVER_MOVED = 0x9D  # CONNACK, DISCONNECT
    CONNECTION_RATE_EXCEEDED = 0x9F  # CONNACK, DISCONNECT
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2  # SUBACK, DISCONNECT


_TEMPORARY = frozenset(
    {
        ReasonCode.SERVER_UNAVAILABLE,
        ReasonCode.SERVER_BUSY,
        ReasonCode.SERVER_SHUTTING_DOWN,
        ReasonCode.KEEP_ALIVE_TIMEOUT,
        ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
    }
)

# The codes with which a broker may end a connection because of its SUBSCRIBE. Other codes name another cause.
_SUBSCRIPTION_DENIALS = frozenset(
    {
        ReasonCode.UNSPECIFIED_ERROR,
        ReasonCode.PROTOCOL_ERROR,
        ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
        ReasonCode.NOT_AUTHORIZED,
        ReasonCode.TOPIC_FILTER_INVALID,
        ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
    }
)

UNIQUE_CLIENT_ID_REMEDY = "give each agent its own broker.client_id or agent.host"
_UNKNOWN_REMEDY = "the broker's log may say why"

_CONNECTION_REMEDIES: dict[int, str] = {
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: "set broker.protocol to the MQTT version that it speaks",
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: "set broker.client_id to one that it accepts",
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: "check broker.username and broker.password or broker.password_file",
    ReasonCode.NOT_AUTHORIZED: (
        "check broker.username, its password, and what the broker allows this user and client id to do"
    ),
    ReasonCode.BANNED: "ask who runs the broker why it has banned the agent",
    ReasonCode.SESSION_TAKEN_OVER: ("another client uses the same client id ({client_id}); " + UNIQUE_CLIENT_ID_REMEDY),
    ReasonCode.PACKET_TOO_LARGE: "raise the broker's limit on the size of packets",
    ReasonCode.QUOTA_EXCEEDED: "ask who runs the broker for a larger quota",
    ReasonCode.ADMINISTRATIVE_ACTION: "ask who runs the broker; an administrator has ended the connection",
    ReasonCode.RETAIN_NOT_SUPPORTED: "let the broker keep retained messages: statuses need them",
    ReasonCode.USE_ANOTHER_SERVER: "set broker.url to the server that is meant for the agent",
    ReasonCode.SERVER_MOVED: "set broker.url to the broker's new address",
    ReasonCode.CONNECTION_RATE_EXCEEDED: "raise backoff.base, so that the agent connects less often",
}

_MESSAGE_REJECTIONS: dict[int, str] = {
    ReasonCode.NOT_AUTHORIZED: "not authorized; let the agent's user write to this topic, in the broker's access rules",
    ReasonCode.TOPIC_NAME_INVALID: "topic not valid; change topics.base or topics.container",
    ReasonCode.PACKET_TOO_LARGE: "packet too large; raise the broker's limit on the size of packets",
    ReasonCode.QUOTA_EXCEEDED: "quota exceeded; raise agent.interval, so that the agent sends less",
    ReasonCode.PAYLOAD_FORMAT_INVALID: "payload format not valid; let the broker accept JSON on this topic",
}


def is_temporary(code: int) -> bool:
    """Return whether the cause may pass without a change of configuration."""
    return code < FIRST_FAILURE or code in _TEMPORARY


def may_deny_subscription(code: int) -> bool:
    """Return whether the cause may be a subscription if a broker ends a connection with this code."""
    return code < FIRST_FAILURE or code in _SUBSCRIPTION_DENIALS


def connection_remedy(code: int, client_id: str) -> str:
    """Return what to do if the broker refuses or ends a connection with this code."""
    return _CONNECTION_REMEDIES.get(code, _UNKNOWN_REMEDY).format(client_id=client_id)


def message_rejection(code: int) -> str:
    """Return why the broker rejects a message, and what to do."""
    return _MESSAGE_REJECTIONS.get(code, f"reason code 0x{code:02X}; {_UNKNOWN_REMEDY}")
