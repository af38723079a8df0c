"""The agent's own status, its will, and the metrics of its process."""

import os
from types import SimpleNamespace
from typing import Any, cast

import orjson

from agent import __version__
from agent.app.agent_status import AgentStatusPublisher, process_metrics
from agent.collection.source import Source
from agent.config import Config
from agent.messages.outbox import Outbox
from agent.messages.payloads import EngineInfo
from agent.messages.topics import Message, MessageBuilder

ENGINE: EngineInfo = {"version": "26.1", "api": "1.45", "cgroup": "2"}


class Published:
    """An AgentStatusPublisher with an outbox, from which the test takes what was published."""

    def __init__(self) -> None:
        self.outbox = Outbox(10, "drop_newest")
        self.outbox.note_connected()
        self.status = AgentStatusPublisher(Config(), MessageBuilder("containers", "h", 1), self.outbox)

    def last(self) -> dict[str, Any]:
        """Return the payload that waits for the broker; there is one per topic, the newest."""
        delivery = self.outbox.take()
        assert delivery
        self.outbox.ack(delivery)
        return payload(delivery.message)


def payload(message: Message) -> dict[str, Any]:
    """Return the JSON of a retained status of the agent."""
    assert (message.topic, message.retain, message.qos) == ("containers/h/status", True, 1)
    return cast("dict[str, Any]", orjson.loads(message.payload))


def test_the_engine_and_its_source_are_published_once_the_engine_has_answered() -> None:
    """Before that nothing is known of them; afterwards every status has the name that the source has then."""
    published = Published()
    published.status.publish()
    first = published.last()
    assert first == {
        "status": "running",
        "time": first["time"],
        "version": __version__,
        "started_at": published.status.started_at,
        "interval": 10,
    }
    source = SimpleNamespace(name="poll")
    published.status.set_engine(ENGINE, cast("Source", source))
    assert (last := published.last())["engine"] == ENGINE
    assert last["source"] == "poll"
    source.name = "kernel"
    published.status.publish()
    assert published.last()["source"] == "kernel"


def test_no_status_follows_the_agents_exit() -> None:
    """A source that changes while the agent ends must not publish `running` again."""
    published = Published()
    published.status.publish_stopped()
    published.status.publish()
    published.status.set_engine(ENGINE, cast("Source", SimpleNamespace(name="poll")))
    last = published.last()
    assert (last["status"], last["reason"]) == ("stopped", "exit")
    assert published.outbox.take() is None


def test_the_will_is_the_present_status_as_stopped() -> None:
    """It names the engine too, and differs in status, reason and time only."""
    published = Published()
    published.status.set_engine(ENGINE, cast("Source", SimpleNamespace(name="poll")))
    status, will = published.last(), payload(published.status.will())
    assert will == status | {"status": "stopped", "reason": "connection lost", "time": will["time"]}


def test_process_metrics_are_of_this_process() -> None:
    """Memory, threads and the number of open descriptors are those that the kernel knows."""
    metrics = process_metrics()
    assert metrics["rss"] > 1_000_000
    assert metrics["threads"] >= 1
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        assert process_metrics()["fds"] == metrics["fds"] + 1
    finally:
        os.close(descriptor)
