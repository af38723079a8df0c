"""Hostile names and labels: they reach no other container's topic, break no JSON, and forge no log line."""

import re
from collections.abc import Callable

from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import Subscriber
from support.fakes.engine import FakeEngine

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]
Subscribe = Callable[..., Subscriber]

HOSTILE = [
    "a/b",
    "+",
    "#",
    "../../other/status",
    "containers/other/web",
    "$SYS/broker",
    "x" * 250,
    "\U0001f433" * 250,
    "line\nforged",
    "2026-11-25T00:00:00Z error service: forged",
    "line\u2028forged\u2029\x85\x0b\x0c\r",
    "\u202etxt.exe",
    "\u200f\u061c\u2066hidden",
    "\x00\x1b[2J\x07",
    'quo"te\\',
    "%s%n{name}",
    "not a character \ufffe",
    "nor this \ufdd0",
    "nor this \U0001ffff",
    "status",
    "agent",
    " ",
]
UGLY = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def harmless(running: RunningAgent, everything: Subscriber, levels: int) -> None:
    """Check that the agent used only its own topics, one connection, and log lines of its own."""
    everything.on(f"{ROOT}/agent")
    topics = {message.topic for message in everything.messages} - {f"{ROOT}/status", f"{ROOT}/agent"}
    assert all(topic.startswith(f"{ROOT}/") for topic in topics)
    assert all(topic.count("/") == ROOT.count("/") + levels + 1 for topic in topics)
    counters = everything.on(f"{ROOT}/agent")[-1].json
    assert counters["broker"] == {"connects": 1, "disconnects": 0}, running.log
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+ (info|warning) +[a-z]+: ", line) for line in running.lines)
    assert not any(UGLY.search(line) for line in running.lines)
    assert running.stop() == 0


def test_hostile_names_have_topics_of_their_own(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record, subscribe: Subscribe
) -> None:
    """Each container has a topic of its own, one level below the host, and its unchanged name in the payload."""
    subscriber, everything = record(broker), subscribe(broker.url, "#")
    for name in HOSTILE:
        fake_engine.run(name, image=name)
    running = start_agent(fake_engine, broker)
    subscriber.wait_for(lambda m: m.topic.endswith("/usage") and m.json["seq"] == 2, count=len(HOSTILE))
    told = {m.json["container"]["name"]: m.topic for m in subscriber.messages if m.topic.endswith("/usage")}
    assert set(told) == set(HOSTILE)
    assert len(set(told.values())) == len(HOSTILE)
    harmless(running, everything, 1)


def test_hostile_labels_are_one_level_each(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record, subscribe: Subscribe
) -> None:
    """Each Compose label in the template is one level, whatever it contains."""
    subscriber, everything = record(broker), subscribe(broker.url, "#")
    for number, label in enumerate(HOSTILE):
        labels = {"com.docker.compose.project": label, "com.docker.compose.service": label, label: label}
        fake_engine.run(f"web-{number}", labels=labels | {"usage-agent.enable": label})
    running = start_agent(fake_engine, broker, topics={"container": "{project}/{service}"})
    subscriber.wait_for(lambda m: m.topic.endswith("/usage") and m.json["seq"] == 2, count=len(HOSTILE))
    told = {m.json["container"]["service"]: m.topic for m in subscriber.messages if m.topic.endswith("/usage")}
    assert set(told) == set(HOSTILE)
    assert len(set(told.values())) == len(HOSTILE)
    harmless(running, everything, 2)


def test_label_cannot_take_another_containers_topic(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """A label that equals the topic of a container which lost a collision does not get that topic."""
    subscriber = record(broker)
    first = fake_engine.run("first", labels={"com.docker.compose.service": "web"})
    second = fake_engine.run("second", labels={"com.docker.compose.service": "web"}, created=first.created + 1)
    aside = f"web-{second.id[:12]}"
    start_agent(fake_engine, broker, topics={"container": "{service}"})
    subscriber.usages(aside)
    thief = fake_engine.run("thief", labels={"com.docker.compose.service": aside})
    subscriber.wait_for(lambda m: m.topic.endswith("/usage") and m.json["container"]["name"] == "thief")
    subscriber.usages(aside, 5)
    assert {one for one, _ in subscriber.published_statuses(aside)} == {second.id}
    fake_engine.destroy(thief)
    subscriber.status(f"{aside}-{thief.id[:12]}", "removed")
    assert subscriber.published_statuses(aside) == [(second.id, "running")]


def test_name_too_long_for_a_topic_costs_that_container_only(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """The log line has a limited length, and all other containers are published."""
    subscriber = record(broker)
    fake_engine.run("web")
    fake_engine.run("x" * 70_000)
    running = start_agent(fake_engine, broker)
    running.wait_for_line('messages on "containers/h/x.*(topic not valid|packet too large); ')
    subscriber.usages("web", 3)
    assert subscriber.counters()["broker"]["connects"] == 1
    assert max(map(len, running.lines)) < 11_000
    assert running.stop() == 0


def test_hostile_host_name_is_one_level(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """A host name is one level, too, whatever it contains."""
    everything = subscribe(broker.url, "#")
    fake_engine.run("web")
    start_agent(fake_engine, broker, agent={"host": "../h/+/#"})
    everything.on("containers/.._h____/web/usage")
    assert {message.topic.split("/")[1] for message in everything.messages} == {".._h____"}
