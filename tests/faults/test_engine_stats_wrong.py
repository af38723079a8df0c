"""The engine's stats of one container are missing or wrong: its usages pause, and those of all others continue."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import FakeEngine

from faults.assertions import HASTY, assert_sound

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]


@pytest.mark.parametrize("source", ["stream", "poll"])
@pytest.mark.slow
def test_missing_stats_of_one_container_are_logged_once(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record, source: str
) -> None:
    """The others' usages continue; when the engine has stats again, so has the container."""
    broker = own_broker()
    subscriber = record(broker)
    web, _ = fake_engine.run("web"), fake_engine.run("other")
    running = start_agent(fake_engine, broker, engine={"source": source}, backoff=HASTY)
    subscriber.usages("web", count=2)
    web.raw = b'{"read":"2026-11-24T18:41:47Z","cpu_stats":{"cpu_usage":{"total_usage":"many"}}}\n'
    running.wait_for_line("no readings of web: .*total_usage")
    subscriber.usages("other", count=8, after=time.monotonic())
    assert len(running.wait_for_line("no readings of web")) == 1
    web.raw = None
    subscriber.usages("web", count=2, after=time.monotonic())
    running.wait_for_line("readings of web are back")
    subscriber.wait_for(lambda _: subscriber.statuses("web") == ["running"] * 3)  # well, without readings, well
    assert subscriber.missing("web") == 0
    assert_sound(running, subscriber)


def no_cpu_time(document: dict[str, Any]) -> None:
    document["cpu_stats"] = {}


def texts(document: dict[str, Any]) -> None:
    for part in ("cpu_stats", "memory_stats", "networks", "blkio_stats", "pids_stats"):
        document[part] = "many"


def beyond_all_counters(document: dict[str, Any]) -> None:
    document["cpu_stats"]["cpu_usage"]["total_usage"] = 2**64 - 1


def below_zero(document: dict[str, Any]) -> None:
    document["cpu_stats"]["cpu_usage"]["total_usage"] = -5


def no_time(document: dict[str, Any]) -> None:
    document["read"] = "yesterday"


class Once:
    """Spoils a single document."""

    def __init__(self, spoil: Callable[[dict[str, Any]], None]) -> None:
        self.done = False
        self._spoil = spoil

    def __call__(self, document: dict[str, Any]) -> None:
        """Spoil the first document."""
        if not self.done:
            self.done = True
            self._spoil(document)


@pytest.mark.slow
def test_one_wrong_document_costs_one_usage(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """It costs one usage and one error, and nothing is logged; the next usage covers the time in between."""
    broker = own_broker()
    subscriber = record(broker)
    web = fake_engine.run("web")
    running = start_agent(fake_engine, broker, engine={"source": "stream"})
    subscriber.usages("web", count=2)
    wrong = [no_cpu_time, texts, beyond_all_counters, below_zero, no_time]
    for number, spoil in enumerate(wrong, 1):
        web.change = once = Once(spoil)
        wait_until(lambda once=once: once.done, PATIENCE, "no document is sent")  # type: ignore[misc]
        subscriber.usages("web", count=2, after=time.monotonic())
        assert subscriber.counters(after=time.monotonic())["engine"]["errors"] == number
    assert_sound(running, subscriber)
    assert subscriber.missing("web") == 0
    assert "no readings" not in running.log
    assert sum(usage["interval"] > 1.5 for usage in subscriber.usages("web")) >= len(wrong)
