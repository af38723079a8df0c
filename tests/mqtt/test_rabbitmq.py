"""RabbitMQ's MQTT plugin ends the connection over what other brokers refuse: a subscription, a topic."""

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from support.daemons.processes import wait_until
from support.daemons.rabbitmq import PASSWORD, RabbitMQ

from mqtt.harness import BASE, USAGE, WAIT_SECONDS, ExpectWarnings, Publish, Subscribe, probe_lines, status, usage

DENIED = "does not let the agent read containers/host/#"


@pytest.mark.slow
def test_denied_subscription_does_not_stop_publishing(
    rabbitmq: RabbitMQ,
    publish: Publish,
    subscribe: Subscribe,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection after the denial does without the subscription, at once. Nothing else is blamed."""
    expected_warnings(DENIED)
    login = {"username": "anything", "password": PASSWORD, "protocol": MQTTProtocolVersion.MQTTv311}
    subscriber = subscribe(rabbitmq.url("anything"), USAGE, **login)
    running = publish(rabbitmq.url("only-write"))
    running.deliver(status(), *(usage(number) for number in range(100)))
    assert [int(message.payload) for message in subscriber.on(USAGE, count=100)] == list(range(100))
    assert running.counters() == {"waiting": 0, "sent": 100, "dropped": 0}
    wait_until(lambda: DENIED in caplog.text, WAIT_SECONDS, "no warning")
    assert running.connections() == (2, 1)
    assert running.publisher.trouble is None


@pytest.mark.slow
def test_probe_tells_what_each_user_may_do(rabbitmq: RabbitMQ) -> None:
    """Publishing decides, hearing the own message tells; where that is not allowed, it is said to be unknown."""
    users = ("anything", "only-write")
    verdicts = {user: [line.split()[0] for line in probe_lines(rabbitmq.url(user))] for user in users}
    assert verdicts == {"anything": ["ok", "ok"], "only-write": ["ok", "warn", "note"]}
    failed = probe_lines(rabbitmq.url("elsewhere"))[-1]
    assert failed.startswith("FAIL ")
    assert f"ends the connection because of a message on {BASE}/check" in failed
