"""The engine is slow, with everything or with one call only."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import Answer, FakeEngine

from faults.assertions import HASTY, SOON, Figures, assert_sound

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]

INSPECT, STATS = "/containers/{id}/json", "/containers/{id}/stats"
OK = b"HTTP/1.1 200 OK\r\n"


def drip(begin: bytes, what: bytes) -> Iterator[bytes]:
    """Send a byte at intervals, for ever."""
    yield begin
    never = threading.Event()
    while not never.wait(0.2):
        yield what


def test_inspection_that_hangs_delays_no_other_container(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """While the engine does not answer about one container, the events of another are published at once."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("stuck", inspect_answer=Answer(silent=True))
    running = start_agent(fake_engine, broker, engine={"timeout": 100})
    wait_until(lambda: fake_engine.requests[INSPECT] > 0, PATIENCE, "it is not looked at")
    began = time.monotonic()
    web = fake_engine.run("web")
    subscriber.usages("web", timeout=SOON)
    fake_engine.die(web, 3)
    assert subscriber.status("web", "exited", timeout=SOON)["exit_code"] == 3
    assert time.monotonic() - began < 100, "it was waited for"
    assert subscriber.statuses("stuck") == []
    assert_sound(running, subscriber)


def test_end_is_published_although_the_inspection_hangs(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """It has the exit code of the event, and is published as soon as the inspection has timed out."""
    broker = own_broker()
    subscriber = record(broker)
    web = fake_engine.run("web")
    running = start_agent(fake_engine, broker, engine={"timeout": 1})
    subscriber.usages("web")
    web.inspect_answer = Answer(silent=True)
    fake_engine.die(web, 6)
    assert subscriber.status("web", "exited")["exit_code"] == 6
    assert_sound(running, subscriber)


@pytest.mark.parametrize("source", ["stream", "poll"])
@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"HTTP/1.1 2", b"0"),
        (OK, b"X"),
        (OK + b"\r\n", b"{"),
        (OK + b"\r\n", b"\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1"),
    ],
    ids=["status line", "header", "document", "blank lines", "chunk"],
)
def test_stats_that_drip_time_out(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: StartAgent,
    record: Record,
    source: str,
    begin: bytes,
    what: bytes,
) -> None:
    """A response that never ends is an error like one that never begins, although bytes keep coming."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, broker, engine={"timeout": 1, "source": source}, backoff=HASTY)
    subscriber.usages("web")
    slow = fake_engine.script(STATS, Answer(raw=drip(begin, what)), times=1)
    if source == "stream":
        fake_engine.restart()
    wait_until(lambda: slow.used == 1, PATIENCE, "nobody asks")
    errors = subscriber.counters(after=time.monotonic())["engine"]["errors"]
    subscriber.wait_for(lambda m: m.topic.endswith("/agent") and m.json["engine"]["errors"] > errors)
    subscriber.usages("web", count=2, after=time.monotonic())
    assert subscriber.statuses("web") == ["running"]
    assert_sound(running, subscriber)


@pytest.mark.slow
def test_slow_responses_within_the_timeout_are_good_ones(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """Every status is published, and nothing counts as an error."""
    broker = own_broker()
    subscriber = record(broker)
    web = fake_engine.run("web")
    fake_engine.slowness = 1.5
    running = start_agent(fake_engine, broker, engine={"timeout": 5})
    subscriber.usages("web", count=3)
    fake_engine.die(web, 2)
    assert subscriber.status("web", "exited")["exit_code"] == 2
    assert subscriber.counters(after=time.monotonic())["engine"]["errors"] == 0
    assert_sound(running, subscriber)


@pytest.mark.parametrize("answer", [Answer(silent=True), Answer(403), Answer(body=b"<html>")])
def test_engine_without_info_costs_only_the_cgroup_version(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    start_agent: StartAgent,
    record: Record,
    answer: Answer,
) -> None:
    """Only the version of cgroups is missing."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    fake_engine.script("/info", answer)
    running = start_agent(fake_engine, broker, engine={"timeout": 1})
    subscriber.usages("web", count=2)
    assert subscriber.agent("running")["engine"] == {"version": fake_engine.version, "api": "1.41"}
    assert_sound(running, subscriber)


@pytest.mark.slow
def test_repeated_freezes_stop_no_container(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], start_agent: StartAgent, record: Record
) -> None:
    """However often the engine freezes: no container is stopped, nothing is left behind, each freeze is logged once."""
    broker = own_broker()
    subscriber = record(broker)
    for number in range(20):
        fake_engine.run(f"web-{number}")
    running = start_agent(fake_engine, broker, engine={"timeout": 1}, backoff=HASTY)
    for number in range(20):
        subscriber.usages(f"web-{number}")
    before, lines = Figures.of(running), len(running.lines)
    for times in range(1, 4):
        fake_engine.freeze()
        running.wait_for_line("did not answer within", count=times)
        fake_engine.thaw()
        back = time.monotonic()
        for number in range(20):
            subscriber.usages(f"web-{number}", count=2, after=back)
    wait_until(lambda: running.threads() <= before.threads, PATIENCE, "threads are left behind")
    before.assert_not_grown(running, fds=20)
    assert len(running.lines) - lines < 3 * 20, running.log
    assert {word for number in range(20) for word in subscriber.statuses(f"web-{number}")} == {"running"}
    assert_sound(running, subscriber)
