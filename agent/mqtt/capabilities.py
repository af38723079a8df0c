"""What a broker supports, as its CONNACK says, and the size of a message as a packet. Pure."""

from dataclasses import dataclass, replace

from agent.messages.topics import Message

MAX_IN_FLIGHT = 20  # messages; more would only wait in the network's buffers instead of in the outbox
MAX_PACKET_BYTES = 268_435_460  # the largest packet in MQTT: 5 bytes of header and 268 435 455 (MQTT 5, 1.5.5)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A broker's limits (MQTT 5, section 3.2.2.3). The defaults hold for MQTT 3.1.1, whose CONNACK has no properties.

    Attributes:
        max_packet_bytes: Maximum Packet Size.
        max_in_flight: Receive Maximum: messages that may be unacknowledged; never above MAX_IN_FLIGHT.
        max_qos: Maximum QoS.
        retain_available: Retain Available: whether the broker accepts retained messages.
    """

    max_packet_bytes: int = MAX_PACKET_BYTES
    max_in_flight: int = MAX_IN_FLIGHT
    max_qos: int = 2
    retain_available: bool = True

    @classmethod
    def from_connack(cls, properties: object) -> "Capabilities":
        """Read the properties of a CONNACK. A broker leaves out each limit that it does not have."""
        return cls(
            max_packet_bytes=getattr(properties, "MaximumPacketSize", MAX_PACKET_BYTES),
            max_in_flight=min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT)),
            max_qos=getattr(properties, "MaximumQoS", 2),
            retain_available=bool(getattr(properties, "RetainAvailable", True)),
        )

    def adapt(self, message: Message) -> Message:
        """Return the message with the QoS and retain flag that this broker accepts."""
        if message.qos <= self.max_qos and (self.retain_available or not message.retain):
            return message
        return replace(message, qos=min(message.qos, self.max_qos), retain=message.retain and self.retain_available)


def publish_packet_bytes(message: Message, mqtt5: bool) -> int:
    """Return the size of the PUBLISH packet (MQTT 5, sections 2.1.4 and 3.3).

    Args:
        message: What is to be published.
        mqtt5: Whether it goes by MQTT 5, which adds a byte for the length of the properties. The agent sends none.
    """
    remaining_length = 2 + len(message.topic.encode()) + 2 * (message.qos > 0) + mqtt5 + len(message.payload)
    length_bytes = 1 + (remaining_length >= 1 << 7) + (remaining_length >= 1 << 14) + (remaining_length >= 1 << 21)
    return 1 + length_bytes + remaining_length
