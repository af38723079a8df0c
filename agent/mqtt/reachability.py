"""Looking out for the broker while the publisher waits, so that its return cuts the wait short.

An attempt that failed leaves an `Observation`: what was seen of the broker then. During the wait its socket is asked
once a second, and the wait ends when more is seen than before. Three cases shaped this:

- Nobody listened: a connection that is made, and answered, is news.
- The broker was frozen: its kernel goes on accepting, so a connection says nothing. Where there is a connection whose
  CONNECT went unanswered, that answer is waited for; else a question of our own. Each frozen broker is asked once
  only, because unanswered connections fill its queue.
- A proxy (Docker's, for a published port) accepts for a broker that is away and closes at once. That is no news when
  it was the same before.

The question is an MQTT CONNECT of a version that does not exist. Whoever is alive refuses it at once, before any
password, session or will comes into play; a TLS or web server says no in its own way.
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
PROBE_INTERVAL_SECONDS = 1.0  # seconds between two questions, and for the answer


class Reachability(IntEnum):
    """What there is to see of a broker, from nothing to everything."""

    NOTHING = 0
    SILENT = 1
    CLOSING = 2
    ANSWERING = 3


class Late(Protocol):
    """A connection on which an answer may still come."""

    def fileno(self) -> int:
        """Return what to poll() for."""

    def close(self) -> None:
        """Give it up."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What an attempt saw of the broker at an address; `late` is watched instead of asking."""

    address: Address
    seen: Reachability
    late: Late | None = None


class ReachabilityMonitor:
    """Watches addresses for a broker's return. For one thread; `wake` ends a watch early."""

    def __init__(self, wake: WakeupEvent, watchdog: Watchdog) -> None:
        self._wake = wake
        self._watchdog = watchdog
        self._seen: dict[Address, Reachability] = {}

    def watch(self, observations: Iterable[Observation], seconds: float) -> None:
        """Wait until more is seen than the sightings tell, or for `seconds`, or until woken; close the late ones."""
        deadline = time.monotonic() + seconds
        with ExitStack() as stack:
            lates, posts = [], []
            for observation in observations:
                if observation.late is not None:
                    stack.callback(observation.late.close)
                    lates.append(observation.late)
                else:
                    posts.append(_Post(observation.address, self._before(observation)))
                    stack.callback(posts[-1].close)
            while (left := deadline - time.monotonic()) > 0 and not self._turn(lates, posts, left):
                pass
            self._seen.update({post.address: post.seen for post in posts})

    def _before(self, observation: Observation) -> Reachability:
        """Return what was seen before. One that answers the question but closes each real connection is no news."""
        if observation.seen is Reachability.CLOSING:
            return max(Reachability.CLOSING, self._seen.get(observation.address, Reachability.CLOSING))
        return observation.seen

    def _turn(self, lates: list[Late], posts: list["_Post"], left: float) -> bool:
        """Wait for one thing to happen, a second at most; whether the watch is over."""
        self._watchdog.expect_within("broker", 120)  # looking a name up may take long
        for post in posts:
            post.ask_if_due()
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for late in lates:
            poll.register(late, select.POLLIN)
        probes = {probe.fileno(): probe for post in posts for probe in post.probes if probe.open}
        for fd, probe in probes.items():
            poll.register(fd, probe.events)
        ready = {
            fd for fd, _ in poll.poll(1000 * min(left, PROBE_INTERVAL_SECONDS / 4 if posts else PROBE_INTERVAL_SECONDS))
        }
        if self._wake.fileno() in ready:
            self._wake.clear()
            return True
        for fd in ready & probes.keys():
            probes[fd].go_on()
        news = [post.news() for post in posts]
        return any(news) or any(late.fileno() in ready for late in lates)


class _Post:
    """Asks one address again and again, all of its IP addresses at a time."""

    def __init__(self, address: Address, seen: Reachability) -> None:
        self.address = address
        self.seen = seen
        self.probes: list[_Probe] = []
        self._asked = 0.0

    def ask_if_due(self) -> None:
        """Ask, unless that was less than a second ago or is still unanswered."""
        if time.monotonic() - self._asked >= PROBE_INTERVAL_SECONDS and not any(probe.open for probe in self.probes):
            self._asked = time.monotonic()
            self.probes = list(_probes(self.address))

    def news(self) -> bool:
        """Take note of what is seen now; whether it is more than before."""
        late = time.monotonic() - self._asked >= PROBE_INTERVAL_SECONDS
        seen = [probe.seen(late) for probe in self.probes]
        if None in seen and Reachability.ANSWERING not in seen:
            return False
        now = max((one for one in seen if one is not None), default=Reachability.NOTHING)
        before, self.seen = self.seen, now
        return now > before

    def close(self) -> None:
        """Hang up."""
        for probe in self.probes:
            probe.close()


class _Probe:
    """One question to one IP address or unix socket, without blocking."""

    def __init__(self, family: int, place: Any) -> None:
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._asked = False
        self._seen: Reachability | None = None
        self.open = True
        try:
            self._socket.connect(place)
        except BlockingIOError:
            return
        except OSError:
            self._end(Reachability.NOTHING)

    @property
    def events(self) -> int:
        """What to poll() for."""
        return select.POLLIN if self._asked else select.POLLOUT

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    def go_on(self) -> None:
        """Do what can be done now: ask, or hear the answer."""
        try:
            if self._asked:
                self._end(Reachability.ANSWERING if self._socket.recv(64) else Reachability.CLOSING)
            else:
                self._socket.send(PROBE_PACKET)  # raises what became of the connection
                self._asked = True
        except BlockingIOError:
            return
        except OSError:
            self._end(Reachability.CLOSING if self._asked else Reachability.NOTHING)

    def seen(self, late: bool) -> Reachability | None:
        """Say what is seen; None when that cannot be said yet. `late`: it should have been by now."""
        if self.open and late:
            if self._asked:
                return Reachability.SILENT  # and left open, for its answer
            self._end(Reachability.NOTHING)
        return self._seen

    def close(self) -> None:
        """Hang up."""
        self.open = False
        self._socket.close()

    def _end(self, seen: Reachability) -> None:
        self._seen = seen
        self.close()


def _probes(address: Address) -> Iterator[_Probe]:
    """Yield a probe under way to each place of the address."""
    for family, place in _places(address):
        try:
            yield _Probe(family, place)
        except OSError:  # a host without IPv6 whose /etc/hosts has "::1 localhost", or no file descriptor left
            continue


def _places(address: Address) -> list[tuple[int, Any]]:
    """Return every family and socket address that the address stands for; none when its name is not known."""
    if address.scheme == "unix":
        return [(socket.AF_UNIX, address.path)]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(family, place) for family, _, _, _, place in found]
