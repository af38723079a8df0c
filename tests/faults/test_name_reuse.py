"""A name passes from one container to the next without a pause: each topic belongs to one of them at a time."""

import time
from collections.abc import Callable

from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import retained
from support.fakes.engine import FakeEngine

from faults.churn import Size, last, quiet

StartAgent = Callable[..., RunningAgent]
Record = Callable[[Mosquitto], RecordingSubscriber]


def test_name_used_fifty_times_is_published_in_order(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """A job is removed and created again without a pause: one after the other is published, and the last one stays."""
    subscriber = record(broker)
    running = start_agent(fake_engine, broker, topics={"forget_removed": 1})
    size = Size(running, subscriber)
    made = []
    for number in range(50):
        made.append(fake_engine.run("job"))
        if number < 49:
            fake_engine.destroy(made[-1])
    subscriber.wait_for(lambda m: m.topic == f"{ROOT}/job/usage" and m.json["container"]["id"] == made[-1].id)
    told = subscriber.published_statuses("job")
    order = {container.id: place for place, container in enumerate(made)}
    assert told == sorted(told, key=lambda said: order[said[0]]), "they speak over each other"
    assert told[-1] == (made[-1].id, "running")
    fake_engine.destroy(made[-1])
    subscriber.status("job", "cleared")
    assert {m.topic for m in subscriber.messages if m.topic.startswith(f"{ROOT}/job")} == topics("job")
    size.check()
    assert quiet(running)


def test_ten_real_runs_under_one_name_are_published_whole(
    engine: PrivateEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """`docker run --rm` again and again under one name, on a real engine."""
    subscriber = record(broker)
    running = start_agent(engine, broker)
    subscriber.agent("running")
    made = []
    for number in range(10):
        made.append(engine.run("sh", "-c", f"exit {number}", name="job", rm=True))
        wait_until(lambda: made[-1] not in engine.containers(), PATIENCE, "it is not removed")
    subscriber.wait_for(lambda _: (made[-1], "removed") in subscriber.published_statuses("job"))
    runs = [(one, word) for one in made for word in ("running", "exited", "removed")]
    assert list(dict.fromkeys(subscriber.published_statuses("job"))) == runs
    assert quiet(running)


def test_names_passed_around_stay_with_their_containers(
    fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent, record: Record
) -> None:
    """Three containers exchange their names several times without a pause: each is published under its own name.

    While two swap names, short ids may tell them apart for a moment; those topics are cleared again.
    """
    subscriber = record(broker)
    chain = [fake_engine.run(name) for name in ("one", "two", "three")]
    running = start_agent(fake_engine, broker)
    for container in chain:
        subscriber.usages(container.name)
    for _ in range(5):
        first, second, third = (container.name for container in chain)
        fake_engine.rename(chain[0], "aside")
        fake_engine.rename(chain[2], first)
        fake_engine.rename(chain[1], third)
        fake_engine.rename(chain[0], second)

    def settled() -> bool:
        said = {topic: payload for topic, payload in retained(broker.url, f"{ROOT}/+/status").items() if payload}
        return {topic.split("/")[2] for topic in said} == {"one", "two", "three"} and all(
            container.id.encode() in said[f"{ROOT}/{container.name}/status"] for container in chain
        )

    wait_until(settled, PATIENCE, "the statuses are not where the names are")
    after = time.monotonic()
    for container in chain:
        subscriber.wait_for(
            lambda m, c=container: m.topic == f"{ROOT}/{c.name}/usage" and m.json["container"]["id"] == c.id,  # type: ignore[misc]
            after=after,
        )
        assert last(broker, container.name)["status"] == "running"
    assert quiet(running, but="an older container has that level")


def topics(name: str) -> set[str]:
    """Return both topics of a container."""
    return {f"{ROOT}/{name}/status", f"{ROOT}/{name}/usage"}
