"""The waits between attempts, where a broker can be reached but ends the connection."""

import logging
import threading
import time
from functools import partial

import pytest
from support.daemons.processes import wait_until
from support.fakes.scripted_broker import CONNECT, PUBLISH, SUBSCRIBE, ScriptedBroker, accept_all, disconnect

from agent.mqtt.connection import STABLE_AFTER_SECONDS
from agent.mqtt.reason_codes import ReasonCode
from mqtt.harness import WAIT_SECONDS, ExpectWarnings, OwnBroker, Publish, RunningPublisher, status, usage


@pytest.mark.slow
def test_broker_that_closes_each_connection_is_not_hammered(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """A broker that answers probes but closes each real connection gets two connections in each backoff.

    The second one is without the subscription, which may have been what the broker does not like.
    """
    expected_warnings("lost the connection", "closed the connection")
    scripted_broker.answer = lambda packet: accept_all(packet) if packet.kind == CONNECT else None
    running = publish(scripted_broker.url, protocol="5")
    running.add(usage())
    running.wait_trouble("the connection")
    before = scripted_broker.connections
    wait_until(lambda: scripted_broker.connections >= before + 3, WAIT_SECONDS, "three probes")
    assert len(scripted_broker.received(CONNECT)) == 2
    assert len(scripted_broker.received(SUBSCRIBE)) == 1


@pytest.mark.parametrize("code", [ReasonCode.SESSION_TAKEN_OVER, ReasonCode.ADMINISTRATIVE_ACTION])
def test_disconnect_with_reason_is_waited_out(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings, code: ReasonCode
) -> None:
    """If the broker gives a reason, the error contains the remedy, and the next attempt waits for the backoff."""
    expected_warnings("has ended the connection")
    scripted_broker.answer = lambda packet: disconnect(code) if packet.kind == PUBLISH else accept_all(packet)
    running = publish(scripted_broker.url)
    running.add(usage())
    trouble = running.wait_trouble("has ended the connection")
    assert ("client id" in trouble) is (code == ReasonCode.SESSION_TAKEN_OVER)
    assert running.counters()["waiting"] == 1
    assert running.connections() == (1, 1)


def test_agents_with_one_client_id_do_not_alternate_for_ever(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings, caplog: pytest.LogCaptureFixture
) -> None:
    """Each reconnects at once at most twice, because its connection did not last, even if the broker gives no reason.

    Once without the subscription, if that was unanswered, and once because messages were delivered.
    """
    expected_warnings("lost the connection", "does not let the agent read")
    broker = own_broker()
    both = [publish(broker.url, client_id="same") for _ in range(2)]
    for running in both:
        running.add(status())
    wait_until(lambda: any(running.publisher.trouble for running in both), WAIT_SECONDS, "no connection is lost")
    troubles = [running.publisher.trouble or "" for running in both]
    assert any("the same client id (same), give each agent" in trouble for trouble in troubles)
    wait_until(lambda: "s at the latest" in caplog.text, WAIT_SECONDS, "none of them waits")
    wait_until(lambda: len(connected(both)) == 1, WAIT_SECONDS, "not one of them is connected")
    connected(both)[0].deliver(usage())
    assert sum(running.connections()[0] for running in both) <= 6


def connected(publishers: list[RunningPublisher]) -> list[RunningPublisher]:
    """Return those that are connected; for a moment, both may take themselves for it."""
    return [running for running in publishers if running.publisher.connected]


def has_passed(moment: float) -> bool:
    return time.monotonic() > moment


@pytest.mark.slow
def test_session_taken_over_does_not_reset_the_backoff(
    scripted_broker: ScriptedBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """If the broker says that another client has taken over, the waits grow, however long each connection lasts."""
    expected_warnings(r"another client uses the same client id \(same\); give each agent its own")
    taken_over = threading.Event()
    scripted_broker.answer = lambda packet: (
        disconnect(ReasonCode.SESSION_TAKEN_OVER)
        if packet.kind == PUBLISH and taken_over.is_set()
        else accept_all(packet)
    )
    running = publish(scripted_broker.url, client_id="same", backoff=0.3, factor=10, protocol="5")
    for number in (1, 2):
        running.wait_connected(number)
        stable_at = time.monotonic() + STABLE_AFTER_SECONDS + 2
        wait_until(partial(has_passed, stable_at), WAIT_SECONDS, "the connection is not stable")
        assert running.connections() == (number, number - 1)
        taken_over.set()
        running.add(usage(number))
        wait_until(lambda: not running.publisher.connected, WAIT_SECONDS, "the connection has not ended")
        taken_over.clear()
    disconnected_at = time.monotonic()
    running.wait_connected(3)
    assert time.monotonic() - disconnected_at > 2.5, "3 s, and not 0.3 s again"


def test_refusal_is_retried_after_each_backoff_and_logged_once(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that refuses the agent can be reached all the time, but only the backoff leads to another attempt."""
    expected_warnings("refuses the agent")
    broker = own_broker("allow_anonymous false")
    running = publish(broker.url, backoff=0.2, protocol="5")
    wait_until(lambda: broker.log.count("not authorised") >= 4, WAIT_SECONDS, "four attempts")
    assert "Not authorized" in (running.publisher.trouble or "")
    warnings = [
        record
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == "agent.mqtt.publisher"
    ]
    assert len(warnings) == 1


def test_wait_ends_with_another_backoff(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """An attempt that would have been made an hour later is made now, and the next ones follow the new numbers."""
    expected_warnings("refuses the agent")
    broker = own_broker("allow_anonymous false")
    running = publish(broker.url, backoff=3600, protocol="5")
    running.wait_trouble("refuses the agent")
    running.backoff.change(0.2, 1, 0.2)
    running.publisher.retry_now()
    wait_until(lambda: broker.log.count("not authorised") >= 4, WAIT_SECONDS, "four attempts")
