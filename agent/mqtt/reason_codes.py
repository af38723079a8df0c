"""What brokers say no to, and what to do about it, by MQTT 5 reason code. MQTT 3.1.1's refusals have the same here."""

UNSUPPORTED_PROTOCOL = 0x84
BAD_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87
KEEPALIVE_TIMEOUT = 0x8D
TAKEN_OVER = 0x8E
TOPIC_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
RETAIN_UNSUPPORTED = 0x9A
QOS_UNSUPPORTED = 0x9B

_TEMPORARY = (
    0x88,
    0x89,
    0x8B,
    KEEPALIVE_TIMEOUT,
    0x93,
)  # unavailable, busy, shutting down, …

OWN_ID = "give each agent its own broker.client_id or agent.host"

_CONNECTION = {
    UNSUPPORTED_PROTOCOL: "set broker.protocol to the MQTT version that it speaks",
    0x85: "set broker.client_id to one that it accepts",
    BAD_PASSWORD: "check broker.username and broker.password or broker.password_file",
    NOT_AUTHORIZED: "check broker.username, its password, and what the broker allows this user and client id to do",
    0x8A: "ask who runs the broker why it has banned the agent",
    TAKEN_OVER: "another client uses the same client id ({client_id}); " + OWN_ID,
    PACKET_TOO_LARGE: "raise the broker's limit on the size of packets",
    0x97: "raise the broker's quota for the agent",
    0x98: "somebody who runs the broker has done this",
    RETAIN_UNSUPPORTED: "let the broker keep retained messages: statuses need them",
    0x9C: "set broker.url to the server that is meant for the agent",
    0x9D: "set broker.url to the broker's new place",
    0x9F: "raise the broker's limit on new connections, or backoff.base",
}

_MESSAGE = {
    NOT_AUTHORIZED: ("not authorized", "let the agent's user write to this topic, in the broker's access rules"),
    TOPIC_INVALID: ("topic not valid", "change topics.base or topics.container"),
    PACKET_TOO_LARGE: ("packet too large", "raise the broker's limit on the size of packets"),
    0x97: ("quota exceeded", "raise the broker's quota, or agent.interval"),
    0x99: ("payload format not valid", "let the broker accept JSON on this topic"),
}

_LOOK = "the broker's log may say why"


def is_temporary(code: int) -> bool:
    """Whether it may pass by itself."""
    return code < 0x80 or code in _TEMPORARY


def connection_remedy(code: int, client_id: str) -> str:
    """Say what to do when the broker refuses or ends a connection with this code."""
    return _CONNECTION.get(code, _LOOK).format(client_id=client_id)


def message_refusal(code: int) -> str:
    """Say why the broker does not take a message, and what to do."""
    reason, remedy = _MESSAGE.get(code, (f"reason code 0x{code:02X}", _LOOK))
    return f"{reason}; {remedy}"
