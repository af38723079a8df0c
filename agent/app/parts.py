"""The parts between the engine and the broker, made from the configuration. None of them runs yet."""

from collections.abc import Callable

from agent.app.agent_status import AgentStatusPublisher
from agent.app.duplicate_agent import DuplicateAgentDetector
from agent.collection.context import CollectorContext
from agent.collection.factory import create_source
from agent.config import BrokerSettings, Config
from agent.containers.filter import ContainerFilter
from agent.containers.reconcile import RetainedStatusReconciler
from agent.containers.registry import ContainerRegistry
from agent.containers.retention import StatusRetention
from agent.containers.supervisor import Supervisor
from agent.containers.topic_names import TopicNames
from agent.engine.client import EngineClient
from agent.home_assistant.inventory import Inventory
from agent.home_assistant.publisher import DiscoveryPublisher
from agent.kernel.host import core_mhz
from agent.messages.outbox import Outbox
from agent.messages.topics import MessageBuilder
from agent.mqtt.publisher import Publisher
from agent.mqtt.stdout import StdoutPublisher
from agent.runtime.logs import WarnOnce
from agent.runtime.retry import BackoffPolicy
from agent.runtime.scheduler import Scheduler
from agent.runtime.watchdog import Watchdog


class Parts:
    """The parts that messages pass through.

    Args:
        config: the configuration.
        watchdog: expects the threads of the parts.
        engine_answers: returns whether the engine as a whole answers at present.
        once: whether each collector ends after one usage.
        dry_run: whether messages are printed, and no broker is used.

    Attributes:
        outbox: where messages wait.
        messages: composes messages.
        status: the agent's own status.
        retention: when the statuses of removed containers are cleared.
        registry: the containers.
        supervisor: makes the containers' statuses and collectors follow what the engine says.
        engine: the engine.
        discovery: publishes discovery messages for Home Assistant.
        backoff: the waits between attempts, of the publisher and of the collectors.
        collection: what the collectors share.
        publisher: sends the outbox's messages, and reads what the broker had retained.
    """

    def __init__(
        self, config: Config, watchdog: Watchdog, engine_answers: Callable[[], bool], once: bool, dry_run: bool
    ) -> None:
        # Messages, and the outbox where they wait.
        self.outbox = Outbox(config.outbox.capacity, config.outbox.on_full)
        self.messages = MessageBuilder(config.topics.base, config.agent.host, config.broker.qos)
        self.status = AgentStatusPublisher(config, self.messages, self.outbox)
        self._duplicates = DuplicateAgentDetector(config.agent.host, self.status.topic, self.status.started_at)

        # The containers: which there are, and what is published of them.
        self.retention = StatusRetention(config.topics.forget_removed)
        selection = ContainerFilter(config.engine.include, config.engine.exclude)
        names = TopicNames(config.topics.container)
        self.registry = ContainerRegistry(names, selection, self.retention, self.outbox, self.messages)
        reconciler = RetainedStatusReconciler(self.registry, self.retention, self.messages)
        self.supervisor = Supervisor(self.registry, reconciler)

        # The engine, where readings come from, and how they are taken.
        self.engine = EngineClient(config.engine)
        self.backoff = BackoffPolicy(config.backoff.base, config.backoff.factor, config.backoff.cap)
        self.collection = CollectorContext(
            engine=self.engine,
            source=create_source(config.engine.source, config.agent.interval, self.engine, self.status.publish),
            interval=config.agent.interval,
            timeout=config.engine.timeout,
            backoff=self.backoff,
            core_mhz=core_mhz() if self.engine.local else None,
            watchdog=watchdog,
            scheduler=Scheduler("readings", watchdog=watchdog),
            usage_limit=1 if once else None,
            warn_once=WarnOnce(),
            engine_answers=engine_answers,
        )

        # Home Assistant.
        inventory = Inventory(self.registry, self.messages, config.agent.interval, has_machine=self.engine.local)
        self.discovery = DiscoveryPublisher(
            config.home_assistant, inventory, self.registry, self.supervisor, self.messages, self.outbox
        )

        # The broker.
        self.publisher = StdoutPublisher(self.outbox) if dry_run else self._make_publisher(config.broker, watchdog)

    def add_retained(self, retained: dict[str, bytes]) -> None:
        """Hand on what the broker had retained. Called on the publisher's thread after each connect."""
        self._duplicates.check(retained)
        self.supervisor.add_retained(retained)
        self.discovery.add_retained(retained)

    def _make_publisher(self, settings: BrokerSettings, watchdog: Watchdog) -> Publisher:
        return Publisher(
            settings,
            self.outbox,
            will=self.status.will,
            subscription=self.discovery.subscription,
            on_retained=self.add_retained,
            on_live=self.discovery.note_message,
            backoff=self.backoff,
            watchdog=watchdog,
            interval=lambda: self.collection.interval,
        )
