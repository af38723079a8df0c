"""A broker on a real socket whose answer to each packet is scripted by the test, with enough MQTT to misbehave.

Section numbers are those of the MQTT 5.0 specification.
"""

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from support.daemons.processes import wait_until

# Control packet types (2.1.2).
CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 10, 12, 14
NAMES = {CONNECT: "CONNECT", PUBLISH: "PUBLISH", SUBSCRIBE: "SUBSCRIBE", DISCONNECT: "DISCONNECT"}

# Properties of a CONNACK (3.2.2.3).
RECEIVE_MAXIMUM, MAXIMUM_QOS, RETAIN_AVAILABLE = 0x21, 0x24, 0x25

# The protocol level of the agent's probes, which no version of MQTT has.
PROBE_LEVEL = 99


@dataclass(frozen=True)
class Packet:
    """A packet from the agent; `connection` is the number of the connection that it came over, from 1."""

    connection: int
    kind: int
    flags: int
    body: bytes

    @property
    def level(self) -> int:
        """The protocol level of a CONNECT: 5, or 4 for MQTT 3.1.1."""
        return self.body[6]

    @property
    def topic(self) -> str:
        """The topic of a PUBLISH."""
        return self.body[2 : 2 + struct.unpack("!H", self.body[:2])[0]].decode()

    @property
    def qos(self) -> int:
        """The QoS of a PUBLISH."""
        return self.flags >> 1 & 3

    @property
    def retain(self) -> bool:
        """The retain flag of a PUBLISH."""
        return bool(self.flags & 1)

    @property
    def packet_id(self) -> bytes:
        """The packet identifier of a PUBLISH or SUBSCRIBE."""
        at = 2 + len(self.topic.encode()) if self.kind == PUBLISH else 0
        return self.body[at : at + 2]


def connack(level: int, code: int = 0, properties: bytes = b"") -> bytes:
    """Return a CONNACK of a protocol level (3.2)."""
    body = bytes([0, code]) + (bytes([len(properties)]) + properties if level == 5 else b"")
    return bytes([0x20, len(body)]) + body


def puback(packet: Packet, code: int = 0) -> bytes:
    """Return the PUBACK of MQTT 5 for a PUBLISH (3.4)."""
    return bytes([0x40, 3]) + packet.packet_id + bytes([code])


def suback(packet: Packet, code: int = 0) -> bytes:
    """Return the SUBACK of MQTT 5 for a SUBSCRIBE (3.9)."""
    return bytes([0x90, 4]) + packet.packet_id + b"\0" + bytes([code])


def disconnect(code: int) -> bytes:
    """Return a DISCONNECT of MQTT 5 (3.14)."""
    return bytes([0xE0, 1, code])


Answer = bytes | None
"""What to send; None closes the connection."""


def accept_all(packet: Packet) -> Answer:
    """Answer like an MQTT 5 broker that accepts everything."""
    match packet.kind:
        case 1:
            return connack(packet.level, 1) if packet.level == PROBE_LEVEL else connack(packet.level)
        case 3:
            return puback(packet) if packet.qos else b""
        case 8:
            return suback(packet)
        case 14:
            return None
    return b""


@dataclass
class _Connection:
    sock: socket.socket
    number: int
    buffer: bytearray = field(default_factory=bytearray)


class ScriptedBroker:
    """Broker with its own port and thread.

    Attributes:
        answer: Returns what to send for each packet. A test may replace it at any time.
        accepting: False to close each connection at once, like a proxy in front of a broker that is down.
        packets: All packets so far.
        connections: Number of connections so far.
    """

    def __init__(self, answer: Callable[[Packet], Answer] = accept_all) -> None:
        self.answer = answer
        self.accepting = True
        self.packets: list[Packet] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address, as in `broker.url`."""
        return f"mqtt://127.0.0.1:{self.port}"

    def received(self, kind: int) -> list[Packet]:
        """Return the packets of a type so far, without the probes of the agent's reachability monitor."""
        return [p for p in self.packets if p.kind == kind and not (kind == CONNECT and p.level == PROBE_LEVEL)]

    def wait_for(self, kind: int, count: int = 1, timeout: float = 30) -> list[Packet]:
        """Wait for `count` packets of a type, and return all of them."""
        wait_until(
            lambda: len(self.received(kind)) >= count, timeout, f"{len(self.received(kind))} {NAMES[kind]} of {count}"
        )
        return self.received(kind)

    def close(self) -> None:
        """Stop listening and close all connections."""
        self._ending = True
        with contextlib.suppress(OSError):  # the thread may have ended already
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._serve(key.data)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        self.connections += 1
        if self.accepting:
            self._selector.register(sock, selectors.EVENT_READ, _Connection(sock, self.connections))
        else:
            sock.close()

    def _serve(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(65536)
            connection.buffer += data
            while data and (packet := _take_packet(connection)) is not None:
                self.packets.append(packet)
                answer = self.answer(packet)
                if answer is None:
                    data = b""
                else:
                    connection.sock.sendall(answer)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(connection.sock)
            connection.sock.close()


def _take_packet(connection: _Connection) -> Packet | None:
    """Take a complete packet out of the buffer, if there is one (2.1.1)."""
    buffer, length, at = connection.buffer, 0, 1
    while True:
        if len(buffer) <= at:
            return None
        length |= (buffer[at] & 0x7F) << 7 * (at - 1)
        at += 1
        if buffer[at - 1] < 0x80:
            break
    if len(buffer) < at + length:
        return None
    packet = Packet(connection.number, buffer[0] >> 4, buffer[0] & 15, bytes(buffer[at : at + length]))
    del buffer[: at + length]
    return packet
