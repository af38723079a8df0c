"""What a broker can take, by what it says of itself in its CONNACK, and how large our messages are to it. Pure."""

from dataclasses import dataclass, replace

from agent.messages.topics import Message

MAX_IN_FLIGHT = 20  # messages in flight at most; more would only wait in the network instead of in the outbox
MAX_PACKET_BYTES = 268_435_460  # bytes of the largest packet that MQTT knows


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The broker's limits. MQTT 3.1.1 tells none, and with MQTT 5 a broker tells only those it has."""

    packet: int = MAX_PACKET_BYTES
    window: int = MAX_IN_FLIGHT
    qos: int = 2
    retain: bool = True

    @classmethod
    def of(cls, properties: object) -> "Capabilities":
        """Return what the properties of a CONNACK say, by their names in MQTT 5."""
        return cls(
            packet=getattr(properties, "MaximumPacketSize", MAX_PACKET_BYTES),
            window=min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT)),
            qos=getattr(properties, "MaximumQoS", 2),
            retain=bool(getattr(properties, "RetainAvailable", True)),
        )

    def adapt(self, message: Message) -> Message:
        """Return the message as this broker can take it."""
        if message.qos <= self.qos and (self.retain or not message.retain):
            return message
        return replace(message, qos=min(message.qos, self.qos), retain=message.retain and self.retain)


def packet_size(message: Message, properties: bool) -> int:
    """Return the bytes of the PUBLISH packet; `properties`: in MQTT 5, with none. (MQTT 5.0, 2.1.4 and 3.3)."""
    rest = 2 + len(message.topic.encode()) + 2 * (message.qos > 0) + properties + len(message.payload)
    length_bytes = 1 + (rest >= 1 << 7) + (rest >= 1 << 14) + (rest >= 1 << 21)
    return 1 + length_bytes + rest
