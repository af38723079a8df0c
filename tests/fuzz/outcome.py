"""Permitted outcomes of any input: named errors, possible usages, and statuses that match the schema."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from support.assertions.measurements import assert_possible
from support.assertions.recording_subscriber import VALIDATORS

from agent.containers.container import Container
from agent.containers.filter import ContainerFilter
from agent.containers.registry import ContainerRegistry
from agent.containers.retention import StatusRetention
from agent.containers.topic_names import TopicNames
from agent.engine.stats import parse_stats
from agent.messages.outbox import Outbox
from agent.messages.topics import Message, MessageBuilder
from agent.metrics.rates import compute_usage
from agent.metrics.reading import Reading, ReadingError

MHZ = 2000.0
MESSAGES = MessageBuilder("containers", "h", qos=1)


@contextmanager
def short_errors(*named: type[Exception]) -> Iterator[None]:
    """Accept these errors only; each quotes the beginning of the invalid input, not all of it."""
    try:
        yield
    except named as error:
        length = len(str(error))
    else:
        return
    assert length < 700, "the error quotes too much of the input"


def new_registry(outbox: Outbox) -> ContainerRegistry:
    """Return the registry of an agent that has just started."""
    selection = ContainerFilter(("*",), ("excluded",))
    return ContainerRegistry(TopicNames("{name}/{service}"), selection, StatusRetention(600), outbox, MESSAGES)


def try_reading(raw: bytes, arrived: float) -> Reading | None:
    """Parse a stats document; return None if it is invalid. The only permitted error is ReadingError."""
    with short_errors(ReadingError):
        return parse_stats(raw, arrived)
    return None


def assert_usable(old: Reading, new: Reading) -> None:
    """Fail if two readings result in an impossible usage."""
    usage = compute_usage(old, new, MHZ)
    if usage is not None:
        assert_possible(usage)
        orjson.dumps(usage)


def assert_publishable(container: Container) -> None:
    """Fail if the start and the end of a container cannot be published."""
    outbox = Outbox(10, "drop_newest")
    registry = new_registry(outbox)
    tracked = registry.get_or_create(container.id)
    if registry.update(tracked, container):
        tracked.status.announce_running(container)
        tracked.status.announce_stopped("exited", container)
        registry.remove(tracked)
        assert list(assert_valid(outbox)), "no status was published"


def assert_valid(outbox: Outbox) -> Iterator[Message]:
    """Yield all messages of an outbox; fail if one is no status of the schema or has an invalid topic."""
    while delivery := outbox.take():
        topic, payload = delivery.message.topic, delivery.message.payload
        assert not set("+#\0") & set(topic), topic
        topic.encode()
        if payload:
            VALIDATORS["ContainerStatus"].validate(orjson.loads(payload))
        yield delivery.message
