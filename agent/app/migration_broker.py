"""What `usage-agent migrate-discovery` reads from the broker, and how it writes: step by step, each step read back."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.app.broker_session import publish_all, read_retained
from agent.config import Config
from agent.containers.filter import ContainerFilter
from agent.home_assistant.devices import host_device_id
from agent.home_assistant.discovery import Topics
from agent.home_assistant.migration import (
    MIGRATE,
    NewDevice,
    device_ids,
    make_backup,
    make_device,
    read_backup,
    read_device,
)
from agent.messages.documents import read_object
from agent.messages.topics import DiscoveryTopics, Message, MessageBuilder
from agent.mqtt.connection import Connection
from agent.runtime.text import topic_level

WITHOUT_DEVICE = ("excluded", "removed")  # reasons of a container's status, for which the agent announces no device


class NotWrittenError(Exception):
    """The broker has not taken what was published."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the broker has.

    Attributes:
        entity_messages: discovery messages of single entities, by topic. Of an entity in the middle of a
            migration: the message from before that migration.
        announced: the containers' devices that the agent has announced.
        backups: what docker2mqtt had announced before earlier migrations: topics and payloads, by topic level.
        levels: topic level of each container with a status, by the container's name.
        agent_runs: whether the agent's status says that it runs.
        host_device: topic and payload of the host's device; an empty payload if the agent has not announced it.
    """

    entity_messages: Mapping[str, bytes]
    announced: list[NewDevice]
    backups: Mapping[str, Mapping[str, bytes]]
    levels: Mapping[str, str]
    agent_runs: bool
    host_device: tuple[str, bytes]


class MigrationBroker:
    """The broker, for a migration. What it raises besides NotWrittenError is a BrokerError.

    Attributes:
        address: of the broker.
        prefix: of Home Assistant's discovery topics.
    """

    def __init__(self, connection: Connection, config: Config) -> None:
        self.address = connection.address
        self.prefix = config.home_assistant.prefix
        self._connection = connection
        self._interval = config.agent.interval
        self._filter = ContainerFilter(config.engine.include, config.engine.exclude)
        self._messages = MessageBuilder(config.topics.base, config.agent.host, config.broker.qos)
        self._topics = DiscoveryTopics(self.prefix)
        self._single = f"{self.prefix}/+/+/+/config"  # topic filter of docker2mqtt's discovery messages

    def read(self) -> Found:
        """Return what the broker has."""
        own = read_retained(self._connection, self._messages.own_topics)
        single = read_retained(self._connection, self._single)
        discovery = read_retained(self._connection, self._topics.configs)
        backups = {
            level: backup
            for topic, payload in own.items()
            if (level := self._messages.level_of_backup(topic)) and (backup := read_backup(payload))
        }
        originals = {topic: payload for backup in backups.values() for topic, payload in backup.items()}
        levels = self._levels(own)
        names = {level: name for name, level in levels.items()}
        host_topic = self._topics.config(host_device_id(self._messages.host))
        devices = (
            read_device(self._topics.device_id_of(topic) or "", topic, payload, self._messages.level_of_usages, names)
            for topic, payload in discovery.items()
        )
        return Found(
            {
                topic: originals.get(topic, payload) if payload == MIGRATE else payload
                for topic, payload in single.items()
            },
            [device for device in devices if device],
            backups,
            levels,
            read_object(own.get(self._messages.agent_topic, b"")).get("status") == "running",
            (host_topic, discovery.get(host_topic, b"")),
        )

    def is_online(self, status_topic: str) -> bool:
        """Return whether docker2mqtt says on this topic that it runs."""
        return read_retained(self._connection, status_topic).get(status_topic) == b"online"

    def devices(self, found: Found, containers: Collection[str]) -> list[NewDevice]:
        """Return the devices of the agent; of an agent that has not announced any, those that it will announce.

        Args:
            found: what the broker has.
            containers: names that docker2mqtt knows. If the agent has no statuses, those that are not excluded count.
        """
        if found.announced:
            return found.announced
        levels = found.levels or {name: topic_level(name) for name in containers if self._filter.matches(name, {})}
        return [
            make_device(
                device_id,
                self._topics.config(device_id),
                name,
                levels[name],
                self._messages.host,
                Topics(self._messages.agent_topic, *self._messages.container_topics(levels[name])),
                self._interval,
            )
            for name, device_id in sorted(device_ids(self._messages.host, levels).items())
        ]

    def write_backups(self, backups: Mapping[str, Mapping[str, bytes] | None]) -> None:
        """Keep what docker2mqtt had announced, by topic level; None clears it."""
        self._write(
            [self._messages.backup(level, backup and make_backup(backup)) for level, backup in backups.items()],
            self._messages.own_topics,
        )

    def write_devices(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Announce devices, by the topic of their discovery message."""
        self._write([self._messages.discovery(*item) for item in documents.items()], self._topics.configs)

    def unload_devices(self, topics: Iterable[str]) -> None:
        """Let Home Assistant unload the entities of devices, and keep their settings. `topics`: of their messages.

        This replaces the messages, so `write_devices` has to follow.
        """
        self._write([_retained(topic, MIGRATE) for topic in topics], self._topics.configs)

    def write_entity_messages(self, payloads: Mapping[str, bytes]) -> None:
        """Publish discovery messages of single entities, by topic."""
        self._write([_retained(*item) for item in payloads.items()], self._single)

    def tell_agent(self, found: Found) -> None:
        """Let a running agent read its discovery messages, and announce nothing for some seconds.

        The agent does that when another program announces its host's device. The space at the end of the payload makes
        the message differ for the agent, but not for Home Assistant.
        """
        topic, payload = found.host_device
        if found.agent_runs and payload:
            self._write([_retained(topic, payload.rstrip() + b" ")], self._topics.configs)

    def _levels(self, own: Mapping[str, bytes]) -> dict[str, str]:
        levels = {}
        for topic, payload in own.items():
            level, status = self._messages.level_of(topic), read_object(payload)
            container = status.get("container")
            if level and isinstance(container, dict) and status.get("reason") not in WITHOUT_DEVICE:
                levels[str(container.get("name"))] = level
        return levels

    def _write(self, messages: list[Message], topic_filter: str) -> None:
        """Publish retained messages, and read them back: with MQTT 3.1.1 a broker acknowledges even what it forbids."""
        if not messages:
            return
        refused = publish_all(self._connection, messages)
        retained = read_retained(self._connection, topic_filter)
        for message in messages:
            if retained.get(message.topic, b"") != message.payload:
                reason = refused.get(message.topic, "let this account publish on it, in the broker's access rules")
                raise NotWrittenError(f"{self.address} has not taken a message on {message.topic}: {reason}")


def _retained(topic: str, payload: bytes) -> Message:
    return Message(topic, payload, retain=True, qos=1)
