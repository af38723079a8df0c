"""A peer that speaks enough MQTT to misbehave: a real socket, and answers that a test chooses."""

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from support.daemons.processes import wait_until

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 10, 12, 14
NAMES = {CONNECT: "CONNECT", PUBLISH: "PUBLISH", SUBSCRIBE: "SUBSCRIBE", DISCONNECT: "DISCONNECT"}

RECEIVE_MAXIMUM, MAXIMUM_QOS, RETAIN_AVAILABLE = 0x21, 0x24, 0x25


@dataclass(frozen=True)
class Packet:
    """One packet from the agent; `visit` counts the connections."""

    visit: int
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
        """The quality of service of a PUBLISH."""
        return self.flags >> 1 & 3

    @property
    def retain(self) -> bool:
        """The retain flag of a PUBLISH."""
        return bool(self.flags & 1)

    @property
    def mid(self) -> bytes:
        """The packet identifier of a PUBLISH or SUBSCRIBE."""
        at = 2 + len(self.topic.encode()) if self.kind == PUBLISH else 0
        return self.body[at : at + 2]


def connack(level: int, code: int = 0, properties: bytes = b"") -> bytes:
    """Return a CONNACK as the protocol level has it."""
    body = bytes([0, code]) + (bytes([len(properties)]) + properties if level == 5 else b"")
    return bytes([0x20, len(body)]) + body


def puback(packet: Packet, code: int = 0) -> bytes:
    """Return the answer of MQTT 5 to a PUBLISH."""
    return bytes([0x40, 3]) + packet.mid + bytes([code])


def suback(packet: Packet, code: int = 0) -> bytes:
    """Return the answer of MQTT 5 to a SUBSCRIBE."""
    return bytes([0x90, 4]) + packet.mid + b"\0" + bytes([code])


def disconnect(code: int) -> bytes:
    """Return the goodbye of a broker of MQTT 5."""
    return bytes([0xE0, 1, code])


Answer = bytes | None
"""What to send; None ends the connection."""


def obliging(packet: Packet) -> Answer:
    """Answer as a broker of MQTT 5 does that takes everything."""
    match packet.kind:
        case 1:
            return connack(packet.level, 1) if packet.level == 99 else connack(packet.level)
        case 3:
            return puback(packet) if packet.qos else b""
        case 8:
            return suback(packet)
        case 14:
            return None
    return b""


@dataclass
class _Visitor:
    sock: socket.socket
    visit: int
    buffer: bytearray = field(default_factory=bytearray)


class ScriptedBroker:
    """Listens on a port of its own; `answer` says what is sent for each packet, and may be changed at any time."""

    def __init__(self, answer: Callable[[Packet], Answer] = obliging) -> None:
        self.answer = answer
        self.packets: list[Packet] = []
        self.visits = 0
        self.welcoming = True  # False: whoever comes is shown out at once, as by a proxy without a broker
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

    def seen(self, kind: int) -> list[Packet]:
        """Return the packets of a kind that came so far, but not those of the lookout, which asks with level 99."""
        return [p for p in self.packets if p.kind == kind and not (kind == CONNECT and p.level == 99)]

    def wait_for(self, kind: int, count: int = 1, timeout: float = 30) -> list[Packet]:
        """Wait for so many packets of a kind, and return all that came by then."""
        wait_until(lambda: len(self.seen(kind)) >= count, timeout, f"{len(self.seen(kind))} {NAMES[kind]} of {count}")
        return self.seen(kind)

    def close(self) -> None:
        """Stop listening and hang up on everybody."""
        self._ending = True
        with contextlib.suppress(OSError):  # it may have ended by itself
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._welcome()
                else:
                    self._serve(key.data)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _welcome(self) -> None:
        sock, _ = self._listener.accept()
        self.visits += 1
        if self.welcoming:
            self._selector.register(sock, selectors.EVENT_READ, _Visitor(sock, self.visits))
        else:
            sock.close()

    def _serve(self, visitor: _Visitor) -> None:
        try:
            data = visitor.sock.recv(65536)
            visitor.buffer += data
            while data and (packet := _next_packet(visitor)) is not None:
                self.packets.append(packet)
                answer = self.answer(packet)
                if answer is None:
                    data = b""
                else:
                    visitor.sock.sendall(answer)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(visitor.sock)
            visitor.sock.close()


def _next_packet(visitor: _Visitor) -> Packet | None:
    """Take a whole packet out of the buffer, if there is one."""
    buffer, length, at = visitor.buffer, 0, 1
    while True:
        if len(buffer) <= at:
            return None
        length |= (buffer[at] & 0x7F) << 7 * (at - 1)
        at += 1
        if buffer[at - 1] < 0x80:
            break
    if len(buffer) < at + length:
        return None
    packet = Packet(visitor.visit, buffer[0] >> 4, buffer[0] & 15, bytes(buffer[at : at + length]))
    del buffer[: at + length]
    return packet
