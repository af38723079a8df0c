"""Topics, QoS and retain flags of the agent's messages."""

import orjson
import pytest

from agent.messages.payloads import ContainerStatus, Usage
from agent.messages.topics import Message, MessageBuilder

MESSAGES = MessageBuilder("home/containers", "pi/4+", qos=0)
USAGE: Usage = {
    "time": "2026-11-24T20:40:00.000000000Z",
    "timestamp": 1,
    "interval": 1.0,
    "host": MESSAGES.host,
    "seq": 1,
    "container": {"id": "a" * 64, "name": "web", "image": "nginx"},
    "cpu": {"percent": 1.5},
}
STATUS: ContainerStatus = {"status": "running", "time": USAGE["time"], "container": USAGE["container"]}


def test_usage_has_configured_qos_and_is_not_retained() -> None:
    """A usage is true for one interval, so the broker must not keep it for later subscribers."""
    message = MESSAGES.usage("web", USAGE)
    assert message == Message("home/containers/pi_4_/web/usage", message.payload, retain=False, qos=0)
    assert orjson.loads(message.payload) == USAGE


def test_host_in_payloads_is_the_configured_one() -> None:
    """What a topic cannot contain, a payload can; only what is no text at all is replaced."""
    assert MESSAGES.host == "pi/4+"
    host = MessageBuilder("containers", "pi\udcff", qos=0).host  # how Python reads a byte that is not UTF-8
    assert orjson.loads(orjson.dumps(host)) == "pi?"


def test_status_is_retained_with_qos_1() -> None:
    """Statuses have QoS 1, whatever the QoS of usages is, and are retained."""
    message = MESSAGES.container_status("shop/web", STATUS)
    assert message == Message("home/containers/pi_4_/shop/web/status", message.payload, retain=True, qos=1)
    assert orjson.loads(message.payload) == STATUS


def test_clearing_is_an_empty_retained_message() -> None:
    """An empty retained message removes the retained message of its topic (MQTT 5, section 3.3.1.3)."""
    assert MESSAGES.container_cleared("web") == Message("home/containers/pi_4_/web/status", b"", retain=True, qos=1)


@pytest.mark.parametrize(
    ("topic", "level"),
    [
        ("home/containers/pi_4_/web/status", "web"),
        ("home/containers/pi_4_/shop/web/status", "shop/web"),
        ("home/containers/pi_4_/status/status", "status"),
        ("home/containers/pi_4_/status", None),
        ("home/containers/pi_4_/web/usage", None),
        ("home/containers/pi_4_//status", None),
        ("home/containers/other/web/status", None),
    ],
)
def test_level_of_accepts_only_own_container_statuses(topic: str, level: str | None) -> None:
    """Only a container's status topic of the agent's own host has a container level."""
    assert MESSAGES.level_of(topic) == level
