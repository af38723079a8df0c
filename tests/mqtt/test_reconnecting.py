"""The broker goes and comes back: what is lost (nothing), and how soon messages flow again.

The wait between attempts is a minute in most of these tests: whoever waits it out has not seen the broker come back.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.daemons.certificates import Certificates
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import wait_until
from support.daemons.subscriber import Subscriber, retained
from support.fakes.scripted_broker import CONNECT, PUBLISH, Packet, ScriptedBroker, accept_all, disconnect

from agent.mqtt.connection import STABLE_AFTER_SECONDS
from mqtt.harness import BASE, STATUS, USAGE, WAIT, RunningPublisher, listening, status, usage

Publish = Callable[..., RunningPublisher]
OwnBroker = Callable[..., Mosquitto]
ExpectWarnings = Callable[..., None]

GONE = ("lost the connection", "nobody listens there", "shutting down", "closed the connection", "does it speak TLS")


@pytest.fixture
def away(expected_warnings: ExpectWarnings) -> None:
    """Announce that the broker will be away."""
    expected_warnings(*GONE)


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_restart(own_broker: OwnBroker, publish: Publish, end: str) -> None:
    """After a broker's crash or end, all retained statuses are there again, and the waiting usages arrive."""
    broker = own_broker()
    running = publish(broker.url)
    running.deliver(status(), status("running", f"{BASE}/web/status"), usage())
    getattr(broker, end)()
    running.wait_trouble()
    for number in range(50):
        running.outbox.add_usage(usage(number))
    running.wait_trouble("nobody listens there")
    broker.start()
    began = time.monotonic()
    running.deliver()
    assert time.monotonic() - began < 10
    assert retained(broker.url, f"{BASE}/#") == {STATUS: b"running", f"{BASE}/web/status": b"running"}
    assert running.outbox.counters()["sent"] == 51
    assert running.publisher.trouble is None
    assert running.publisher.counters() == {"connects": 2, "disconnects": 1}


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_broker_comes_later(publish: Publish, own_broker: OwnBroker, host: str) -> None:
    """An agent that starts before the broker has it within a moment when it comes; a name may have several places."""
    port = free_port()
    running = publish(f"mqtt://{host}:{port}")
    running.announce(status())
    running.wait_trouble("nobody listens there")
    own_broker(port=port)
    running.deliver(usage())


@pytest.mark.usefixtures("away")
def test_unix_socket_comes_later(publish: Publish, own_broker: OwnBroker, short_path: Path) -> None:
    """The same over a unix socket."""
    place = short_path / "mqtt.sock"
    running = publish(f"unix://{place}")
    running.wait_trouble("nobody listens there")
    own_broker(f"listener 0 {place}")
    running.deliver(usage())


@pytest.mark.usefixtures("away")
def test_tls_comes_later(publish: Publish, own_broker: OwnBroker, certificates: Certificates) -> None:
    """The same over TLS."""
    port = free_port()
    running = publish(f"mqtts://127.0.0.1:{port}", tls_ca=str(certificates.ca))
    running.wait_trouble("nobody listens there")
    own_broker(*certificates.lines(), port=port)
    running.deliver(usage())


def test_short_freeze(own_broker: OwnBroker, publish: Publish) -> None:
    """A broker that is frozen for a moment is waited for: the connection holds, and nothing is sent twice."""
    broker = own_broker()
    subscriber = Subscriber(broker.url, USAGE)
    running = publish(broker.url)
    running.deliver(usage(0))
    broker.freeze()
    for number in range(1, 100):
        running.outbox.add_usage(usage(number))
    wait_until(lambda: running.outbox.counters()["waiting"] == 99, WAIT, "all wait")
    broker.thaw()
    running.deliver()
    assert [int(message.payload) for message in subscriber.on(USAGE, count=100)] == list(range(100))
    assert running.publisher.counters() == {"connects": 1, "disconnects": 0}
    subscriber.close()


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts"])
def test_frozen_for_long(
    own_broker: OwnBroker,
    publish: Publish,
    certificates: Certificates,
    expected_warnings: ExpectWarnings,
    scheme: str,
) -> None:
    """A broker that is frozen for longer than the keepalive is given up, and had again as soon as it is thawed."""
    expected_warnings("no sign of life from the broker", "is it frozen", "no answer; is the broker running", *GONE)
    port = free_port()
    broker = own_broker(f"listener {port} 127.0.0.1", *(certificates.lines() if scheme == "mqtts" else ()))
    wait_until(lambda: listening(port), WAIT, "the second listener")
    running = publish(f"{scheme}://127.0.0.1:{port}", keepalive=1, tls_ca=str(certificates.ca))
    running.deliver(status())
    broker.freeze()
    running.outbox.add_usage(usage())
    running.wait_trouble("answer")  # does not answer, no answer: the attempt after the lost connection has failed too
    broker.thaw()
    began = time.monotonic()
    running.deliver()
    assert time.monotonic() - began < 10
    assert retained(broker.url, STATUS) == {STATUS: b"running"}


def test_frozen_at_the_start(own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """An attempt that a frozen broker left unanswered publishes no will when the broker reads on."""
    expected_warnings("is it frozen")
    broker = own_broker()
    subscriber = Subscriber(broker.url, f"{BASE}/#")
    broker.freeze()
    running = publish(broker.url)
    running.announce(status())
    running.wait_trouble("is it frozen")
    broker.thaw()
    running.deliver(usage())
    subscriber.on(USAGE)
    assert [m.payload for m in subscriber.messages if m.topic == STATUS] == [b"running"]
    subscriber.close()


def test_killed_while_frozen(own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """A frozen broker that is killed and started again is had again at once."""
    expected_warnings("is it frozen", *GONE)
    broker = own_broker()
    broker.freeze()
    running = publish(broker.url)
    running.wait_trouble("is it frozen")
    broker.kill()
    broker.start()
    running.deliver(usage())


def test_behind_a_proxy(scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """A proxy that accepts for a broker that is away is not taken for the broker; its coming back is seen behind it."""
    expected_warnings("closed the connection")
    scripted_broker.accepting = False
    running = publish(scripted_broker.url)
    running.wait_trouble("closed the connection")
    visits = scripted_broker.connections
    wait_until(lambda: scripted_broker.connections >= visits + 3, WAIT, "the lookout asks")
    assert running.publisher.counters()["connects"] == 0
    assert len(scripted_broker.received(CONNECT)) == 0
    scripted_broker.accepting = True
    running.deliver(usage())


def test_no_hammering(scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """A broker that answers the lookout but throws each real client out sees the agent once in each backoff."""
    expected_warnings("lost the connection", "closed the connection")
    scripted_broker.answer = lambda packet: accept_all(packet) if packet.kind == CONNECT else None
    running = publish(scripted_broker.url, protocol="5")
    running.outbox.add_usage(usage())
    running.wait_trouble("the connection")
    visits = scripted_broker.connections
    wait_until(lambda: scripted_broker.connections >= visits + 3, WAIT, "the lookout asks")
    assert len(scripted_broker.received(CONNECT)) == 1


@pytest.mark.parametrize("code", [0x8E, 0x98])
def test_goodbye_of_the_broker(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings, code: int
) -> None:
    """When a broker says why it ends a connection, that is told with the remedy, and the wait is kept."""
    expected_warnings("has ended the connection")
    scripted_broker.answer = lambda packet: disconnect(code) if packet.kind == PUBLISH else accept_all(packet)
    running = publish(scripted_broker.url)
    running.outbox.add_usage(usage())
    trouble = running.wait_trouble("has ended the connection")
    assert ("client id" in trouble) is (code == 0x8E)
    assert running.outbox.counters()["waiting"] == 1


def test_taken_over(own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings) -> None:
    """Two agents under one client id do not throw each other out for ever, even where the broker does not say why.

    Each comes back at once, but only once: that time it did not stay connected for long.
    """
    expected_warnings("lost the connection")
    broker = own_broker()
    both = [publish(broker.url, client_id="same") for _ in range(2)]
    for one in both:
        one.announce(status())
    wait_until(lambda: any(one.publisher.trouble for one in both), WAIT, "neither throws the other out")
    assert any("the same client id (same), give each agent" in (one.publisher.trouble or "") for one in both)
    wait_until(lambda: any(one.publisher.connected for one in both), WAIT, "neither is left")
    (left,) = [one for one in both if one.publisher.connected]
    left.deliver(usage())
    assert sum(one.publisher.counters()["connects"] for one in both) <= 4


def past(moment: float) -> bool:
    """Whether a moment of the monotonic clock is over."""
    return time.monotonic() > moment


def test_taken_over_in_turn(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """Where the broker says that another has taken over the client id, the waits grow, however long each one lasts."""
    expected_warnings(r"another client uses the same client id \(same\); give each agent its own")
    over = threading.Event()
    scripted_broker.answer = lambda packet: (
        disconnect(0x8E) if packet.kind == PUBLISH and over.is_set() else accept_all(packet)
    )
    running = publish(scripted_broker.url, client_id="same", backoff=0.3, factor=10, protocol="5")
    for number in (1, 2):
        running.wait_connected(number)
        wait_until(partial(past, time.monotonic() + STABLE_AFTER_SECONDS + 2), WAIT, "the connection lasts")
        assert running.publisher.counters() == {"connects": number, "disconnects": number - 1}
        over.set()
        running.outbox.add_usage(usage(number))
        wait_until(lambda: not running.publisher.connected, WAIT, "it is not thrown out")
        over.clear()
    thrown_out = time.monotonic()
    running.wait_connected(3)
    assert time.monotonic() - thrown_out > 2.5, "3 s, and not 0.3 s again"


def test_refusal_is_waited_out(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal is tried again after each wait, however well the broker can be seen, and logged once."""
    expected_warnings("refuses the agent")
    broker = own_broker("allow_anonymous false")
    running = publish(broker.url, backoff=0.2, protocol="5")
    refused = "Not authorized"
    wait_until(lambda: broker.log.count("not authorised") >= 4, WAIT, "four attempts")
    assert refused in (running.publisher.trouble or "")
    told = [r for r in caplog.records if r.levelno >= logging.WARNING and r.name == "agent.mqtt.publisher"]
    assert len(told) == 1


def test_outage_is_logged_once(
    scripted_broker: ScriptedBroker,
    publish: Publish,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However long the broker is away, and however often it is tried, that is said once, with the reason."""
    expected_warnings("closed the connection")
    scripted_broker.answer = lambda _: None
    publish(scripted_broker.url, backoff=0.01)
    scripted_broker.wait_for(CONNECT, 20)
    assert len([r for r in caplog.records if "closed the connection" in r.getMessage()]) == 1


def test_no_message_twice_in_flight(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """What was in flight when the connection was lost is sent again first, in its order, before what came later."""
    expected_warnings("lost the connection", "closed the connection")
    came: list[list[bytes]] = [[], []]

    def once_deaf(packet: Packet) -> bytes | None:
        if packet.kind != PUBLISH:
            return accept_all(packet)
        first = packet.connection == min(p.connection for p in scripted_broker.packets)
        came[not first].append(packet.body.rpartition(b"\0")[2])
        return (None if len(came[0]) == 10 else b"") if first else accept_all(packet)

    scripted_broker.answer = once_deaf
    running = publish(scripted_broker.url, backoff=0.05, protocol="5")
    running.deliver(*(usage(number) for number in range(10, 40)))
    assert came[1] == [b"%d" % number for number in range(10, 40)]
    assert running.outbox.counters()["sent"] == 30
