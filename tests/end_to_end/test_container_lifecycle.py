"""Messages about containers of a real engine, from start to removal."""

import signal
import time
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import retained

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

BUSY = ("sh", "-c", "while :; do :; done")


def test_start_usages_and_end_are_all_published(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """The statuses of a container are published from start to removal, and no usage is missing in between."""
    broker = own_broker()
    engine.run(name="early")
    subscriber = record(broker)
    running = start_agent(engine, broker)
    subscriber.usages("early")
    subscriber.agent("running")
    started = time.monotonic()
    engine.run("sh", "-c", "sleep 4; exit 3", name="late")
    subscriber.usages("late", after=started)
    ended = subscriber.status("late", "exited")
    assert (ended["exit_code"], ended["state"], ended["last_usage"]["container"]["name"]) == (3, "exited", "late")
    engine.remove("late")
    subscriber.status("late", "removed")
    usages = subscriber.usages("early", count=6)
    assert [usage["seq"] for usage in usages] == list(range(1, len(usages) + 1))
    topics = [message.topic for message in subscriber.messages if message.topic.startswith(f"{ROOT}/early")]
    assert topics[0].endswith("status")
    assert running.stop() == 0
    assert subscriber.status("early", "agent exit")["last_usage"]["seq"] >= 6
    assert subscriber.agent("exit")["engine"]["version"]
    assert set(retained(broker.url, f"{ROOT}/#")) == {f"{ROOT}/status", f"{ROOT}/early/status", f"{ROOT}/late/status"}
    assert subscriber.statuses("late") == ["running", "exited", "removed"]
    assert subscriber.messages[-1].topic == f"{ROOT}/status"
    assert subscriber.usages("early")[0]["timestamp"] > 0


def test_pause_restart_rename_and_recreation_are_published(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Each change of a container is published as a status; `seq` continues for as long as the container exists."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(name="web")
    start_agent(engine, broker)
    subscriber.usages("web")
    paused = time.monotonic()
    engine.docker("pause", "web")
    subscriber.wait_for(lambda m: m.topic == f"{ROOT}/web/status" and m.json["state"] == "paused", after=paused)
    engine.docker("unpause", "web")
    engine.docker("restart", "--time", "0", "web")
    subscriber.status("web", "exited")
    again = time.monotonic()
    before = subscriber.usages("web")[-1]["seq"]
    assert subscriber.usages("web", after=again)[0]["seq"] >= before
    engine.docker("rename", "web", "shop")
    first = subscriber.usages("shop")[0]
    assert first["seq"] == subscriber.usages("web")[-1]["seq"] + 1
    subscriber.status("web", "removed")
    subscriber.status("web", "cleared")
    engine.remove("shop")
    new = engine.run(name="shop")
    subscriber.wait_for(
        lambda m: m.topic == f"{ROOT}/shop/usage" and m.json["container"]["id"] == new and m.json["seq"] == 1
    )
    assert f"{ROOT}/web/status" not in retained(broker.url, f"{ROOT}/#")


def test_second_container_of_a_service_has_its_own_topic(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """With `{service}` in the template the older container keeps the plain topic; the log names the other topic."""
    broker = own_broker()
    subscriber = record(broker)
    label = {"com.docker.compose.service": "web", "com.docker.compose.project": "shop"}
    engine.run(name="shop-web-1", label=label)
    second = engine.run(name="shop-web-2", label=label)
    running = start_agent(engine, broker, topics={"container": "{project}/{service}"})
    assert subscriber.usages("shop/web")[0]["container"] | {"id": ""} == {
        "id": "",
        "name": "shop-web-1",
        "image": "busybox",
        "project": "shop",
        "service": "web",
    }
    subscriber.usages(f"shop/web-{second[:12]}")
    running.wait_for_line("shop-web-2 is published as shop/web-")


def test_second_sigterm_ends_at_once(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """A second SIGTERM ends the agent although its ending still waits for the broker."""
    broker = own_broker()
    subscriber = record(broker)
    running = start_agent(engine, broker, shutdown={"timeout": 60})
    subscriber.agent("running")
    broker.freeze()
    running.signal(signal.SIGTERM)
    running.wait_for_line("ending within")
    running.signal(signal.SIGTERM)
    assert running.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("source", ["stream", "poll", "kernel"])
def test_usages_are_evenly_apart(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, source: str
) -> None:
    """Usages from every source come once an interval without drift."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(*BUSY, name="busy")
    start_agent(engine, broker, agent={"interval": 2}, engine={"source": source})
    usages = subscriber.usages("busy", count=8)
    span = (usages[7]["timestamp"] - usages[1]["timestamp"]) / 1e9
    assert span == pytest.approx(12, abs=1.5)
    assert all(usage["cpu"]["percent"] > 1 for usage in usages)
