"""Observing a lost broker during the wait between attempts, so that its return ends the wait early.

A failed attempt leaves an `Observation`: how reachable the broker was. During the wait its address is probed once a
second, and the wait ends as soon as the broker is more reachable than observed. Three cases shaped this:

- Nothing listened: a connection that is accepted, and answered, is an improvement.
- The broker was frozen: its kernel still accepts connections, so an accepted one means nothing. If there is a
  connection whose CONNECT is unanswered, its answer is awaited; otherwise a probe is sent. A frozen broker gets one
  connection only, because unanswered connections fill its queue.
- A proxy (Docker's, for a published port) accepts for a broker that is away and closes at once. That is no improvement
  if it was the same before.

The probe is a CONNECT with a protocol version that does not exist. A running broker refuses it at once, before
password, session or will matter (MQTT 5, section 3.1.2.2); a TLS or web server rejects it in its own protocol.
"""

import select
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from agent.config import Address
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

PROBE_PACKET = b"\x10\x0e\x00\x04MQTT\x63\x02\x00\x3c\x00\x02??"  # protocol level 99, clean start, client id "??"
PROBE_INTERVAL_SECONDS = 1.0  # between two probes; also the time in which a broker should answer
PROBE_CHECK_SECONDS = PROBE_INTERVAL_SECONDS / 4  # between two looks at whether a probe is due or late
LOOKUP_SECONDS = 120.0  # looking up a host name has no time limit of its own


class Reachability(IntEnum):
    """How reachable a broker is, in rising order."""

    NOTHING = 0  # no connection is accepted
    SILENT = 1  # a connection is accepted, but nothing is answered
    CLOSING = 2  # a connection is accepted and then closed: the program there is not frozen
    ANSWERING = 3  # something is answered


class UnansweredConnection(Protocol):
    """A connection whose CONNECT may still be answered."""

    def fileno(self) -> int:
        """Return the descriptor to poll() for the answer."""

    def disconnect_quickly(self) -> None:
        """End the connection, so that the broker publishes no will if it accepts the connection later."""


@dataclass(frozen=True, slots=True)
class Observation:
    """How reachable an attempt found the broker at an address; `unanswered` is awaited instead of sending probes."""

    address: Address
    reachability: Reachability
    unanswered: UnansweredConnection | None = None


class ReachabilityMonitor:
    """Waits for a broker to become more reachable. Not thread-safe; `wake` ends a wait early."""

    def __init__(self, wake: WakeupEvent, watchdog: Watchdog) -> None:
        self._wake = wake
        self._watchdog = watchdog
        self._last_probed: dict[Address, Reachability] = {}

    def wait(self, observations: Iterable[Observation], seconds: float) -> None:
        """Wait until a broker is more reachable than observed, for at most `seconds`, or until woken.

        At the end the unanswered connections in the observations are closed.
        """
        deadline = time.monotonic() + seconds
        with ExitStack() as stack:
            unanswered: list[UnansweredConnection] = []
            probes: list[_AddressProbe] = []
            for observation in observations:
                if observation.unanswered is not None:
                    stack.callback(observation.unanswered.disconnect_quickly)
                    unanswered.append(observation.unanswered)
                else:
                    probes.append(_AddressProbe(observation.address, self._baseline(observation)))
                    stack.callback(probes[-1].close)
            while (left := deadline - time.monotonic()) > 0 and not self._poll(unanswered, probes, left):
                pass
            self._last_probed.update({probe.address: probe.reachability for probe in probes})

    def note_connected(self) -> None:
        """Note that a broker has accepted the agent. Results of earlier probes are forgotten."""
        self._last_probed.clear()

    def _baseline(self, observation: Observation) -> Reachability:
        """Return the result that a probe has to exceed to end the wait.

        A broker may answer probes and still close the real connection. If it did, a probe now has to exceed the last
        result of the earlier probes.
        """
        if observation.reachability is Reachability.CLOSING:
            return max(Reachability.CLOSING, self._last_probed.get(observation.address, Reachability.CLOSING))
        return observation.reachability

    def _poll(self, unanswered: list[UnansweredConnection], probes: list["_AddressProbe"], left: float) -> bool:
        """Wait for one event, at most a second. Return whether the whole wait is over."""
        self._watchdog.expect_within("publisher", LOOKUP_SECONDS)
        for probe in probes:
            probe.send_if_due()
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for connection in unanswered:
            poll.register(connection, select.POLLIN)
        sockets = {sock.fileno(): sock for probe in probes for sock in probe.sockets if sock.open}
        for fd, sock in sockets.items():
            poll.register(fd, sock.events)
        timeout = min(left, PROBE_CHECK_SECONDS if probes else PROBE_INTERVAL_SECONDS)
        ready = {fd for fd, _ in poll.poll(1000 * timeout)}
        if self._wake.fileno() in ready:
            self._wake.clear()
            return True
        for fd in ready & sockets.keys():
            sockets[fd].advance()
        improved = [probe.update() for probe in probes]
        return any(improved) or any(connection.fileno() in ready for connection in unanswered)


class _AddressProbe:
    """Probes one address repeatedly, all of its IP addresses at a time."""

    def __init__(self, address: Address, reachability: Reachability) -> None:
        self.address = address
        self.reachability = reachability
        self.sockets: list[_SocketProbe] = []
        self._sent_at = 0.0

    def send_if_due(self) -> None:
        """Send a probe, unless the last one is less than a second old or still unanswered."""
        if time.monotonic() - self._sent_at >= PROBE_INTERVAL_SECONDS and not any(sock.open for sock in self.sockets):
            self._sent_at = time.monotonic()
            self.sockets = list(_connect_all(self.address))

    def update(self) -> bool:
        """Update `reachability` if there is a result. Return whether it has improved."""
        overdue = time.monotonic() - self._sent_at >= PROBE_INTERVAL_SECONDS
        results = [sock.result(overdue) for sock in self.sockets]
        if None in results and Reachability.ANSWERING not in results:
            return False
        now = max((result for result in results if result is not None), default=Reachability.NOTHING)
        before, self.reachability = self.reachability, now
        return now > before

    def close(self) -> None:
        """Close all connections."""
        for sock in self.sockets:
            sock.close()


class _SocketProbe:
    """One probe to one IP address or unix socket, without blocking."""

    def __init__(self, family: int, socket_address: Any) -> None:
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._sent = False
        self._result: Reachability | None = None
        self.open = True
        try:
            self._socket.connect(socket_address)
        except BlockingIOError:
            return
        except OSError:
            self._finish(Reachability.NOTHING)

    @property
    def events(self) -> int:
        """The events to poll() for."""
        return select.POLLIN if self._sent else select.POLLOUT

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    def advance(self) -> None:
        """Do what is possible now: send the probe, or receive the answer."""
        try:
            if self._sent:
                self._finish(Reachability.ANSWERING if self._socket.recv(64) else Reachability.CLOSING)
            else:
                self._socket.send(PROBE_PACKET)  # raises the error of connect(), if that has failed
                self._sent = True
        except BlockingIOError:
            return
        except OSError:
            self._finish(Reachability.CLOSING if self._sent else Reachability.NOTHING)

    def result(self, overdue: bool) -> Reachability | None:
        """Return the result, or None if there is none yet and it is not overdue."""
        if self.open and overdue:
            if self._sent:
                return Reachability.SILENT  # and left open, because the answer may still come
            self._finish(Reachability.NOTHING)
        return self._result

    def close(self) -> None:
        """Close the connection."""
        self.open = False
        self._socket.close()

    def _finish(self, result: Reachability) -> None:
        self._result = result
        self.close()


def _connect_all(address: Address) -> Iterator[_SocketProbe]:
    """Start a probe to each socket address of a broker's address."""
    for family, socket_address in _socket_addresses(address):
        try:
            yield _SocketProbe(family, socket_address)
        except OSError:  # a host without IPv6 whose /etc/hosts has "::1 localhost", or no file descriptor left
            continue


def _socket_addresses(address: Address) -> list[tuple[int, Any]]:
    """Return family and socket address of each place the address stands for; none if its name cannot be looked up."""
    if address.scheme == "unix":
        return [(socket.AF_UNIX, address.path)]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(family, socket_address) for family, _, _, _, socket_address in found]
