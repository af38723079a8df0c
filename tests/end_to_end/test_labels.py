"""Labels of containers on real engines: their own interval, their own name, and nonsense."""

import time
from collections.abc import Callable

import orjson
import pytest
from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.podman import Podman
from support.daemons.processes import PATIENCE
from support.daemons.subscriber import retained

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]

BUSY = ("sh", "-c", "while :; do :; done")


def test_interval_of_one_container(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """One container is read twice a second and one every 2 s, beside the others with the agent's interval."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(*BUSY, name="fast", cpus=0.1, label={"usage-agent.interval": "0.5"})
    engine.run(name="slow")
    engine.run(name="between", label={"usage-agent.interval": "2"})
    start_agent(engine, broker, agent={"interval": 10})
    slow = subscriber.usages("slow", count=2)
    assert slow[1]["interval"] == pytest.approx(10, abs=1.5)
    assert subscriber.agent("running")["interval"] == 10
    between = subscriber.usages("between", count=4)
    assert (between[3]["timestamp"] - between[1]["timestamp"]) / 1e9 == pytest.approx(4, abs=1)
    fast = subscriber.usages("fast", count=18)
    assert (fast[17]["timestamp"] - fast[1]["timestamp"]) / 1e9 == pytest.approx(8, abs=1)


def test_interval_decides_between_poll_and_stream(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Where the engine is asked, a container with a short interval is streamed although the agent polls."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(name="fast", label={"usage-agent.interval": "1"})
    # From a namespace without the host's processes the kernel's files cannot be read.
    inside = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    # With a long timeout the subscription to the events is not renewed, so that few requests are made besides.
    running = start_agent(engine, broker, agent={"interval": 10}, engine={"timeout": 60}, inside=inside)
    running.wait_for_line("the kernel's files of fast are not used, but source stream")
    subscriber.wait_for_on(f"{ROOT}/status", lambda message: "source" in message.json, PATIENCE, 1, 0)
    assert subscriber.agent("running")["source"] == "poll"
    requests = subscriber.counters()["engine"]["requests"]
    seen = len(subscriber.usages("fast"))
    subscriber.usages("fast", count=seen + 8)
    assert subscriber.counters(after=time.monotonic())["engine"]["requests"] < requests + 8


def test_name_of_the_label_is_the_containers_name(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """It stands in topic and payload; a rename changes nothing, neither now nor at the next start of the agent."""
    broker = own_broker()
    subscriber = record(broker)
    container = engine.run(name="stack_web_1", label={"usage-agent.name": "Web shop"})
    running = start_agent(engine, broker)
    assert subscriber.usages("Web shop")[0]["container"]["name"] == "Web shop"
    engine.docker("rename", "stack_web_1", "stack_web_2")
    renamed = time.monotonic()
    subscriber.usages("Web shop", count=2, after=renamed)
    assert running.stop() == 0
    engine.docker("rename", "stack_web_2", "stack_web_3")
    again = time.monotonic()
    start_agent(engine, broker)
    subscriber.usages("Web shop", count=2, after=again)
    engine.docker("kill", "stack_web_3")
    subscriber.status("Web shop", "exited", after=again)
    assert subscriber.statuses("Web shop") == ["running", "agent exit", "running", "exited"]
    kept = retained(broker.url, f"{ROOT}/+/status")
    assert set(kept) == {f"{ROOT}/Web shop/status"}
    assert orjson.loads(kept[f"{ROOT}/Web shop/status"])["container"] == {
        "id": container,
        "name": "Web shop",
        "image": "busybox",
    }


def test_labels_of_podman(podman: Podman, own_broker: OwnBroker, start_agent: StartAgent, record: Record) -> None:
    """Podman's labels are the same as Docker's."""
    broker = own_broker()
    subscriber = record(broker)
    labels = {"interval": "2", "name": "shop", "enable": "true"}
    podman.run("web", "exec sleep 1000", *(f"--label=usage-agent.{label}={text}" for label, text in labels.items()))
    podman.run("db", "exec sleep 1000", "--label=usage-agent.interval=soon")
    running = start_agent(podman, broker, agent={"interval": 10}, engine={"include": ["db"]})
    usages = subscriber.usages("shop", count=4)
    assert (usages[3]["timestamp"] - usages[1]["timestamp"]) / 1e9 == pytest.approx(4, abs=1.5)
    assert usages[0]["container"]["name"] == "shop"
    running.wait_for_line('db: label usage-agent.interval is "soon", allowed is a number from 0.5 to 3600')


def test_nonsense_is_told_once(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Not again when the container starts again, or the engine; the labels count as absent."""
    broker = own_broker()
    subscriber = record(broker)
    engine.run(name="web", label={"usage-agent.interval": "0", "usage-agent.name": " ", "usage-agent.enable": "maybe"})
    running = start_agent(engine, broker)
    subscriber.usages("web")
    engine.docker("restart", "--time", "0", "web")
    subscriber.status("web", "exited")
    restarted = time.monotonic()
    assert subscriber.usages("web", count=2, after=restarted)[1]["interval"] == pytest.approx(1, abs=0.5)
    told = [line.partition("web: label ")[2] for line in running.lines if " label " in line]
    assert sorted(told) == [
        'usage-agent.enable is "maybe", allowed are true and false; it counts as absent',
        'usage-agent.interval is "0", allowed is a number from 0.5 to 3600 (seconds); it counts as absent',
        'usage-agent.name is " ", allowed is text of 1 to 255 bytes, not blank, without control characters; '
        "it counts as absent",
    ]
