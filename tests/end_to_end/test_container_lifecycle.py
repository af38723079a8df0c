"""What subscribers see of containers on a real engine."""

import signal
import time
from collections.abc import Callable

import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import retained

Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

BUSY = ("sh", "-c", "while :; do :; done")


def test_start_usages_and_end_are_all_published(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """From the first status to the last: what runs, starts and ends is told, and nothing is missing."""
    broker = own_broker()
    engine.run(name="early")
    viewer = view(broker)
    running = watch(engine, broker)
    viewer.usages("early")
    viewer.agent("running")
    started = time.monotonic()
    engine.run("sh", "-c", "sleep 4; exit 3", name="late")
    viewer.usages("late", after=started)
    ended = viewer.status("late", "exited")
    assert (ended["exit_code"], ended["state"], ended["last_usage"]["container"]["name"]) == (3, "exited", "late")
    engine.remove("late")
    viewer.status("late", "removed")
    usages = viewer.usages("early", count=6)
    assert [usage["seq"] for usage in usages] == list(range(1, len(usages) + 1))
    topics = [message.topic for message in viewer.messages if message.topic.startswith(f"{ROOT}/early")]
    assert topics[0].endswith("status")
    assert running.stop() == 0
    assert viewer.status("early", "agent exit")["last_usage"]["seq"] >= 6
    assert viewer.agent("exit")["engine"]["version"]
    assert set(retained(broker.url, f"{ROOT}/#")) == {f"{ROOT}/status", f"{ROOT}/early/status", f"{ROOT}/late/status"}
    assert viewer.statuses("late") == ["running", "exited", "removed"]
    assert viewer.messages[-1].topic == f"{ROOT}/status"
    assert viewer.usages("early")[0]["timestamp"] > 0


def test_pause_restart_rename_and_recreation_are_told(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """One container through what people do to it: the statuses tell it, `seq` goes on as long as it is the same one."""
    broker = own_broker()
    viewer = view(broker)
    engine.run(name="web")
    watch(engine, broker)
    viewer.usages("web")
    paused = time.monotonic()
    engine.docker("pause", "web")
    viewer.wait_for(lambda m: m.topic == f"{ROOT}/web/status" and m.json["state"] == "paused", after=paused)
    engine.docker("unpause", "web")
    engine.docker("restart", "--time", "0", "web")
    viewer.status("web", "exited")
    again = time.monotonic()
    before = viewer.usages("web")[-1]["seq"]
    assert viewer.usages("web", after=again)[0]["seq"] >= before
    engine.docker("rename", "web", "shop")
    first = viewer.usages("shop")[0]
    assert first["seq"] == viewer.usages("web")[-1]["seq"] + 1
    viewer.status("web", "removed")
    viewer.status("web", "cleared")
    engine.remove("shop")
    new = engine.run(name="shop")
    viewer.wait_for(
        lambda m: m.topic == f"{ROOT}/shop/usage" and m.json["container"]["id"] == new and m.json["seq"] == 1
    )
    assert f"{ROOT}/web/status" not in retained(broker.url, f"{ROOT}/#")


def test_second_container_of_a_service_has_a_topic_of_its_own(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View
) -> None:
    """With `{service}` as the template the older container has the plain topic, and the log says so."""
    broker = own_broker()
    viewer = view(broker)
    label = {"com.docker.compose.service": "web", "com.docker.compose.project": "shop"}
    engine.run(name="shop-web-1", label=label)
    second = engine.run(name="shop-web-2", label=label)
    running = watch(engine, broker, topics={"container": "{project}/{service}"})
    assert viewer.usages("shop/web")[0]["container"] | {"id": ""} == {
        "id": "",
        "name": "shop-web-1",
        "image": "busybox",
        "project": "shop",
        "service": "web",
    }
    viewer.usages(f"shop/web-{second[:12]}")
    running.wait_for_line("shop-web-2 is published as shop/web-")


def test_second_sigterm_ends_at_once(engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View) -> None:
    """An ending that takes its time is cut short by a second SIGTERM."""
    broker = own_broker()
    viewer = view(broker)
    running = watch(engine, broker, shutdown={"timeout": 60})
    viewer.agent("running")
    broker.freeze()
    running.signal(signal.SIGTERM)
    running.wait_for_line("ending within")
    running.signal(signal.SIGTERM)
    assert running.wait(30) == -signal.SIGTERM


def test_sighup_changes_nothing(engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View) -> None:
    """The configuration is read at the start; a SIGHUP gets an answer."""
    broker = own_broker()
    viewer = view(broker)
    running = watch(engine, broker)
    viewer.agent("running")
    running.signal(signal.SIGHUP)
    running.wait_for_line("restart the agent to apply changes")
    viewer.counters(after=time.monotonic())


@pytest.mark.parametrize("source", ["stream", "poll", "kernel"])
def test_usages_are_evenly_apart(
    engine: PrivateEngine, own_broker: OwnBroker, watch: Watch, view: View, source: str
) -> None:
    """A usage comes once an interval, on a steady grid, from every source."""
    broker = own_broker()
    viewer = view(broker)
    engine.run(*BUSY, name="busy")
    watch(engine, broker, agent={"interval": 2}, engine={"source": source})
    usages = viewer.usages("busy", count=8)
    span = (usages[7]["timestamp"] - usages[1]["timestamp"]) / 1e9
    assert span == pytest.approx(12, abs=1.5)
    assert all(usage["cpu"]["percent"] > 1 for usage in usages)
