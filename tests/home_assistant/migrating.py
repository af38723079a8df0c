"""Running `usage-agent migrate-discovery` on a broker with what a real docker2mqtt has retained there."""

import json
from collections.abc import Callable
from typing import Any

from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import Subscriber

from home_assistant.docker2mqtt import PREFIX, discovery

Agent = Callable[..., RunningAgent]
OwnBroker = Callable[..., Mosquitto]
StartAgent = Callable[..., RunningAgent]

BACKUP = "containers/nas/web/docker2mqtt"
DEVICE = f"{PREFIX}/device/usage-agent_nas_web/config"
HEALTH = {topic for topic in discovery("2.6.1") if topic.endswith("_health_events/config")}
KEPT = {topic: payload for topic, payload in discovery("2.6.1").items() if topic not in HEALTH}


def fill(broker: Mosquitto, messages: dict[str, bytes]) -> None:
    """Retain messages, as docker2mqtt does."""
    publisher = Subscriber(broker.url, "nothing")
    for topic, payload in messages.items():
        publisher.publish(topic, payload, retain=True)
    publisher.close()


def config(broker_url: str, **tables: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of host `nas`."""
    return {
        "agent": {"host": "nas", "interval": 1},
        "broker": {"url": broker_url},
        "home_assistant": {"enabled": True},
        **tables,
    }


def migrate(agent: Agent, broker_url: str, *options: str, **tables: dict[str, Any]) -> RunningAgent:
    """Run the command to its end."""
    running = agent(config(broker_url, **tables), "migrate-discovery", "--from", "docker2mqtt", *options)
    running.wait()
    return running


def unique_ids(payload: bytes) -> dict[str, str]:
    """Return the unique ids of a device's discovery message, by component key."""
    return {key: part["unique_id"] for key, part in json.loads(payload)["components"].items() if "unique_id" in part}


def kept_in(payload: bytes) -> set[str]:
    """Return the unique ids of docker2mqtt's in a device's discovery message."""
    return {unique_id for unique_id in unique_ids(payload).values() if unique_id.startswith("docker_")}
