"""A frozen broker accepts connections, because its kernel does, and answers nothing."""

import pytest
from support.daemons.certificates import Certificates
from support.daemons.mosquitto import free_port
from support.daemons.processes import wait_until
from support.daemons.subscriber import retained

from mqtt.harness import (
    BASE,
    BROKER_AWAY,
    STATUS,
    USAGE,
    WAIT_SECONDS,
    ExpectWarnings,
    OwnBroker,
    Publish,
    Subscribe,
    is_listening,
    status,
    usage,
)


def test_short_freeze_keeps_the_connection(own_broker: OwnBroker, publish: Publish, subscribe: Subscribe) -> None:
    """A broker that is frozen for less than the keepalive is waited for, and nothing is sent twice."""
    broker = own_broker()
    subscriber = subscribe(broker.url, USAGE)
    running = publish(broker.url)
    running.deliver(usage(0))
    broker.freeze()
    running.add(*(usage(number) for number in range(1, 100)))
    broker.thaw()
    running.deliver()
    assert [int(message.payload) for message in subscriber.on(USAGE, count=100)] == list(range(100))
    assert running.connections() == (1, 0)


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts"])
def test_long_freeze_is_followed_by_reconnect(
    own_broker: OwnBroker,
    publish: Publish,
    certificates: Certificates,
    expected_warnings: ExpectWarnings,
    scheme: str,
) -> None:
    """A broker frozen for longer than the keepalive is given up, and reconnected to as soon as it is thawed."""
    expected_warnings(
        "no sign of life from the broker", "is it frozen", "no answer; is the broker running", *BROKER_AWAY
    )
    port = free_port()
    broker = own_broker(f"listener {port} 127.0.0.1", *(certificates.lines() if scheme == "mqtts" else ()))
    wait_until(lambda: is_listening(port), WAIT_SECONDS, "the second listener")
    running = publish(f"{scheme}://127.0.0.1:{port}", keepalive=1, tls_ca=str(certificates.ca))
    running.deliver(status())
    broker.freeze()
    running.add(usage())
    running.wait_trouble("answer")  # the attempt after the lost connection has failed too
    broker.thaw()
    running.deliver()
    assert retained(broker.url, STATUS) == {STATUS: b"running"}


def test_unanswered_attempt_leaves_no_will(
    own_broker: OwnBroker, publish: Publish, subscribe: Subscribe, expected_warnings: ExpectWarnings
) -> None:
    """A thawed broker that reads the abandoned CONNECT does not publish its will."""
    expected_warnings("is it frozen")
    broker = own_broker()
    subscriber = subscribe(broker.url, f"{BASE}/#")
    broker.freeze()
    running = publish(broker.url)
    running.add(status())
    running.wait_trouble("is it frozen")
    broker.thaw()
    running.deliver(usage())
    subscriber.on(USAGE)
    assert [message.payload for message in subscriber.messages if message.topic == STATUS] == [b"running"]


def test_broker_killed_while_frozen_is_noticed(
    own_broker: OwnBroker, publish: Publish, expected_warnings: ExpectWarnings
) -> None:
    """A frozen broker that is killed and started again is reconnected to at once."""
    expected_warnings("is it frozen", *BROKER_AWAY)
    broker = own_broker()
    broker.freeze()
    running = publish(broker.url)
    running.wait_trouble("is it frozen")
    broker.kill()
    broker.start()
    running.deliver(usage())
