"""`usage-agent forget`: clears what the agent of a host has left retained on the broker, after the host is gone.

read_retained()  ─►  _is_running(): refuse  ─►  _devices(), _own_topics()  ─►  publish_all()  ─►  read_retained()

An empty retained message clears its topic. Devices of Home Assistant are cleared first, and a while later the statuses
that they read: Home Assistant would log errors about empty statuses. The second reading is over a new connection. It
shows what the broker really did: with MQTT 3.1.1 a broker acknowledges even what it forbids.
"""

import shlex
import sys
from collections.abc import Mapping, Sequence

from agent.app.broker_session import connected, publish_all, read_retained
from agent.config import Config, HomeAssistantSettings
from agent.home_assistant.discovery import read_payload
from agent.home_assistant.migration import read_backup
from agent.messages.documents import read_object
from agent.messages.topics import DiscoveryTopics, Message, MessageBuilder
from agent.mqtt.connection import Connection
from agent.mqtt.errors import BrokerError
from agent.runtime.text import escape

AFTER_DEVICES_SECONDS = 1.0  # for Home Assistant to remove the devices

AGENT_RUNS, BROKER_FAILED = 2, 4  # exit codes: the host's agent runs; the broker failed, as in `check`


def forget(config: Config, host: str, dry_run: bool) -> int:
    """Clear the retained messages of a host's agent, and print their topics.

    Args:
        config: the broker and the base of the topics.
        host: name of the host, as in `agent.host`.
        dry_run: only print what would be cleared.

    Returns:
        The exit code: 0, AGENT_RUNS or BROKER_FAILED.
    """
    messages = MessageBuilder(config.topics.base, host, config.broker.qos)
    try:
        with connected(config.broker, "forget") as connection:
            retained = read_retained(connection, messages.own_topics)
            if _is_running(retained.get(messages.agent_topic)):
                return _refuse(host, messages.agent_topic, connection)
            prefix = _prefix(retained.get(messages.agent_topic), config.home_assistant)
            devices = _devices(connection, prefix, messages) if prefix else []
            statuses = _own_topics(retained, messages)
            own = devices + statuses
            _print("left alone", sorted(retained.keys() - own), ": no status of usage-agent")
            if dry_run or not own:
                _print("would clear", own)
                print(f"{_amount(own)} of host {escape(host)} at {connection.address}, below {messages.own_topics}")
                return 0
            refused = publish_all(connection, map(_clearing, devices))
            if devices:
                connection.poll_until(lambda: False, AFTER_DEVICES_SECONDS)
            refused |= publish_all(connection, map(_clearing, statuses))
        with connected(config.broker, "forget") as connection:
            left = read_retained(connection, messages.own_topics).keys() | set(
                _devices(connection, prefix, messages) if prefix else ()
            )
            remaining = left & set(own)
    except BrokerError as error:
        print(f"broker: {escape(str(error))}", file=sys.stderr)
        return BROKER_FAILED
    _print("cleared", [topic for topic in own if topic not in remaining])
    for topic in sorted(remaining):
        reason = refused.get(topic, "it is still there; let this account publish on it, in the broker's access rules")
        print(f"not cleared: {escape(topic)}: {reason}", file=sys.stderr)
    return BROKER_FAILED if remaining else 0


def _clearing(topic: str) -> Message:
    return Message(topic, b"", retain=True, qos=1)


def _prefix(payload: bytes | None, settings: HomeAssistantSettings) -> str | None:
    """Return the prefix of the discovery messages that the host's agent may have left; None if it has left none."""
    prefix = read_object(payload or b"").get("home_assistant")
    if isinstance(prefix, str):
        return prefix
    return settings.prefix if settings.enabled else None


def _devices(connection: Connection, prefix: str, messages: MessageBuilder) -> list[str]:
    """Return the topics of the discovery messages of the host's agent."""
    topics = DiscoveryTopics(prefix)
    found = {topic: read_payload(payload) for topic, payload in read_retained(connection, topics.configs).items()}
    end = messages.agent_topic_end
    return sorted(topic for topic, device in found.items() if device and device.agent_topic.endswith(end))


def _is_running(payload: bytes | None) -> bool:
    return payload is not None and _status(payload) == "running"


def _refuse(host: str, topic: str, connection: Connection) -> int:
    clearing = f"mosquitto_pub -r -n -t {escape(shlex.quote(topic))}"
    print(
        f"the agent of host {escape(host)} runs, says {escape(topic)} at {connection.address}: stop it first; if it is "
        f"gone, and the broker has lost its will, clear this status: {clearing}",
        file=sys.stderr,
    )
    return AGENT_RUNS


def _own_topics(retained: Mapping[str, bytes], messages: MessageBuilder) -> list[str]:
    """Return the topics of the agent's retained messages, in the order of clearing.

    The agent's own status comes last: as long as other messages are left, it shows that there was an agent. A message
    without a status is not the agent's, unless it is a backup that a migration has made.
    """
    own = [topic for topic, payload in retained.items() if _status(payload) in ("running", "stopped")]
    containers = [topic for topic in own if messages.level_of(topic) is not None]
    backups = [topic for topic, payload in retained.items() if messages.level_of_backup(topic) and read_backup(payload)]
    return sorted([*containers, *backups]) + [topic for topic in own if topic == messages.agent_topic]


def _status(payload: bytes) -> object:
    return read_object(payload).get("status")


def _print(what: str, topics: Sequence[str], remark: str = "") -> None:
    for topic in topics:
        print(f"{what:<12} {escape(topic)}{remark}")


def _amount(topics: Sequence[str]) -> str:
    return f"{len(topics) or 'no'} retained message{'' if len(topics) == 1 else 's'}"
