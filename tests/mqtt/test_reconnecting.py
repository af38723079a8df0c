"""Reconnecting to a broker that was away: no message is lost, and its return is noticed at once.

The backoff is an hour unless a test says otherwise, so a test fails if its broker's return is not noticed.
"""

from pathlib import Path

import pytest
from support.daemons.certificates import Certificates
from support.daemons.mosquitto import free_port
from support.daemons.processes import wait_until
from support.daemons.subscriber import retained
from support.fakes.scripted_broker import CONNECT, PROBE_LEVEL, PUBLISH, Answer, Packet, ScriptedBroker, accept_all

from mqtt.harness import BASE, BROKER_AWAY, STATUS, WAIT_SECONDS, ExpectWarnings, OwnBroker, Publish, status, usage


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_restarted_broker_gets_all_statuses_and_waiting_usages(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings, end: str
) -> None:
    """After a broker's crash or stop all retained statuses are published again, and the waiting usages arrive."""
    expected_warnings(*BROKER_AWAY)
    broker = own_broker()
    running = publish(broker.url)
    running.deliver(status(), status("running", f"{BASE}/web/status"), usage())
    getattr(broker, end)()
    running.wait_trouble()
    running.add(*(usage(number) for number in range(50)))
    running.wait_trouble("nobody listens there")
    broker.start()
    running.deliver()
    assert retained(broker.url, f"{BASE}/#") == {STATUS: b"running", f"{BASE}/web/status": b"running"}
    assert running.counters() == {"waiting": 0, "sent": 51, "dropped": 0}
    assert running.publisher.trouble is None
    assert running.connections() == (2, 1)


@pytest.mark.parametrize("address", ["mqtt://127.0.0.1", "mqtt://localhost", "mqtts://127.0.0.1", "unix://"])
def test_broker_started_after_the_agent_is_noticed(
    publish: Publish,
    own_broker: OwnBroker,
    certificates: Certificates,
    short_path: Path,
    expected_warnings: ExpectWarnings,
    address: str,
) -> None:
    """That holds for each transport, and for a name that stands for several IP addresses."""
    expected_warnings(*BROKER_AWAY)
    port, socket_path = free_port(), short_path / "mqtt.sock"
    running = publish(
        f"{address}{socket_path}" if address == "unix://" else f"{address}:{port}", tls_ca=str(certificates.ca)
    )
    running.add(status())
    running.wait_trouble("nobody listens there")
    lines = {"unix://": [f"listener 0 {socket_path}"], "mqtts://127.0.0.1": certificates.lines()}
    own_broker(*lines.get(address, []), port=port)
    running.deliver(usage())


@pytest.mark.slow
def test_broker_behind_proxy_is_noticed(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """A proxy that accepts for a broker that is away is not taken for the broker."""
    expected_warnings("closed the connection")
    scripted_broker.accepting = False
    running = publish(scripted_broker.url)
    running.wait_trouble("closed the connection")
    before = scripted_broker.connections
    wait_until(lambda: scripted_broker.connections >= before + 3, WAIT_SECONDS, "three probes")
    assert running.connections() == (0, 0)
    assert len(scripted_broker.received(CONNECT)) == 0
    scripted_broker.accepting = True
    running.deliver(usage())


def test_earlier_outage_does_not_hide_that_the_broker_is_back(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """How a broker has answered probes in one outage means nothing in the next one."""
    expected_warnings("closed the connection", "lost the connection")
    closing = True

    def answer(packet: Packet) -> Answer:
        nonlocal closing
        if closing and (packet.kind == PUBLISH or (packet.kind == CONNECT and packet.level != PROBE_LEVEL)):
            closing = packet.kind == PUBLISH  # a lost connection is followed by one that is closed
            return None
        return accept_all(packet)

    scripted_broker.answer = answer
    running = publish(scripted_broker.url, protocol="5")
    running.deliver(usage())
    closing = True
    running.deliver(usage())
    assert len(scripted_broker.received(CONNECT)) == 4


def test_outage_is_logged_once(
    scripted_broker: ScriptedBroker,
    publish: Publish,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many attempts fail for the same reason, it is logged once."""
    expected_warnings("closed the connection")
    scripted_broker.answer = lambda _: None
    publish(scripted_broker.url, backoff=0.01)
    scripted_broker.wait_for(CONNECT, 20)
    assert len([record for record in caplog.records if "closed the connection" in record.getMessage()]) == 1


def test_messages_in_flight_are_sent_again_first(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """What was in flight when the connection was lost is sent again, in its order, before later messages."""
    expected_warnings("lost the connection", "closed the connection")
    first_connection: list[bytes] = []
    later: list[bytes] = []

    def answer(packet: Packet) -> Answer:
        if packet.kind != PUBLISH:
            return accept_all(packet)
        payload = packet.body.rpartition(b"\0")[2]
        if packet.connection != scripted_broker.packets[0].connection:
            later.append(payload)
            return accept_all(packet)
        first_connection.append(payload)
        return None if len(first_connection) == 10 else b""

    scripted_broker.answer = answer
    running = publish(scripted_broker.url, backoff=0.05, protocol="5")
    running.deliver(*(usage(number) for number in range(10, 40)))
    assert later == [b"%d" % number for number in range(10, 40)]
    assert running.counters()["sent"] == 30
