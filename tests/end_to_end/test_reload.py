"""SIGHUP: the configuration is read anew; what can takes effect, and the log names what needs a restart."""

import json
import signal
import time
from collections.abc import Callable
from itertools import pairwise

from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import FakeEngine

StartAgent = Callable[..., RunningAgent]
Record = Callable[..., RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]


def test_selection_changes(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Newly excluded containers are `excluded`, newly included ones run, all others go on; `seq` is never reset."""
    broker = own_broker()
    subscriber = record(broker)
    for name in ("web", "db", "test-db"):
        engine.run(name=name)
    engine.run("true", name="test-done")
    running = start_agent(engine, broker, engine={"exclude": ["test-db"]})
    subscriber.status("test-done", "exited")
    subscriber.usages("web", count=2)
    subscriber.usages("db")
    running.reload(engine={"exclude": ["web", "test-done"]})
    running.wait_for_line("info .*reload: engine.exclude takes effect")
    subscriber.status("web", "excluded")
    subscriber.status("test-done", "excluded")
    subscriber.status("test-db", "running")
    last = subscriber.usages("web")[-1]["seq"]
    subscriber.usages("db", count=3, after=time.monotonic())
    assert subscriber.usages("web")[-1]["seq"] == last, "none follows its status"
    running.reload(engine={"include": ["web"], "exclude": []})
    running.wait_for_line("info .*reload: engine.include, engine.exclude take effect")
    subscriber.status("db", "excluded")
    subscriber.status("test-db", "excluded")
    assert subscriber.usages("web", count=last + 2)[-1]["seq"] >= last + 2
    assert subscriber.missing("web") == subscriber.missing("db") == 0
    assert subscriber.statuses("web") == ["running", "excluded", "running"]
    assert subscriber.statuses("db") == ["running", "excluded"]
    assert subscriber.counters(after=time.monotonic())["broker"]["connects"] == 1


def test_outbox_shrinks_while_the_broker_is_away(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Nothing that waits is dropped; from then on each new usage is, and every one is counted."""
    fake_engine.run("web")
    broker = own_broker()
    subscriber = record(broker, qos=0)
    running = start_agent(fake_engine, broker, agent={"interval": 0.5}, engine={"source": "poll"})
    subscriber.usages("web", count=2)
    broker.kill()
    running.wait_for_line("lost the connection")
    polls = fake_engine.requests["/containers/{id}/stats"]
    wait_until(lambda: fake_engine.requests["/containers/{id}/stats"] >= polls + 8, PATIENCE, "no usages")
    running.reload(outbox={"capacity": 3})
    running.wait_for_line("reload: outbox.capacity takes effect")
    polls = fake_engine.requests["/containers/{id}/stats"]
    wait_until(lambda: fake_engine.requests["/containers/{id}/stats"] >= polls + 4, PATIENCE, "no usages")
    running.freeze()  # until the subscriber is back: it counts
    subscriptions = broker.log.count("Sending SUBACK")
    broker.start()
    wait_until(lambda: broker.log.count("Sending SUBACK") > subscriptions, PATIENCE, "the subscriber is not back")
    running.thaw()
    back = time.monotonic()
    subscriber.wait_for(
        lambda message: message.topic == f"{ROOT}/agent" and message.json["outbox"]["capacity"] == 3, after=back
    )
    outbox = subscriber.counters(after=time.monotonic())["outbox"]
    sequence = sorted({usage["seq"] for usage in subscriber.usages("web")})  # those in flight at the kill came twice
    assert outbox["dropped"] == subscriber.missing("web") >= 3
    gaps = [later for earlier, later in pairwise(sequence) if later != earlier + 1]
    assert len(gaps) == 1, "those that waited at the reload have arrived, and those after the gap"
    assert sequence.index(gaps[0]) >= 8


def test_capacity_and_forgetting_and_backoff_take_effect(
    engine: PrivateEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """A container that was removed before the reload is forgotten by the new time; the counters show the capacity."""
    broker = own_broker()
    subscriber = record(broker)
    container = engine.run(name="web")
    running = start_agent(engine, broker)
    subscriber.usages("web")
    engine.remove(container)
    subscriber.status("web", "removed")
    running.reload(topics={"forget_removed": 1}, outbox={"capacity": 5, "on_full": "drop_oldest"}, backoff={"cap": 9})
    running.wait_for_line("reload: backoff.cap, topics.forget_removed, outbox.capacity, outbox.on_full take effect")
    subscriber.status("web", "cleared")
    assert subscriber.counters(after=time.monotonic())["outbox"]["capacity"] == 5


def test_log_takes_another_level_and_format(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent
) -> None:
    """Each line comes once, in the new format."""
    running = start_agent(fake_engine, own_broker())
    running.wait_for_line("connected to")
    running.reload(agent={"log_level": "debug", "log_format": "json"})
    running.wait_for_line("reload: agent.log_level, agent.log_format take effect")
    before = len(running.lines)
    for name in ("web", "db"):
        fake_engine.run(name)
    running.wait_for_line('"level": "debug"')
    running.reload(agent={"log_level": "warning"})
    running.wait_for_line('"agent.log_level takes effect"')
    running.reload(agent={"log_level": "info"})
    running.wait_for_line('"agent.log_level takes effect"', count=2)
    assert all(json.loads(line)["logger"] == "reload" for line in running.lines[-2:])
    assert len(set(running.lines[before:])) == len(running.lines[before:])


def test_other_keys_need_a_restart_and_are_named_without_their_values(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """One line names all of them, each time, because they still differ; the agent goes on as before."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    running = start_agent(fake_engine, broker)
    subscriber.usages("web")
    running.reload(broker={"url": "mqtt://user:hidden@elsewhere"}, topics={"base": "other"}, agent={"interval": 2})
    running.wait_for_line("info .*reload: agent.interval takes effect")
    running.wait_for_line("warning .*reload: broker.url, topics.base need a restart$")
    running.reload(topics={"base": "containers"})
    running.wait_for_line("warning .*reload: broker.url needs a restart$")
    subscriber.usages("web", after=time.monotonic(), count=2)
    assert not [secret for secret in ("hidden", "elsewhere", "other") if secret in running.log]
    assert subscriber.counters(after=time.monotonic())["broker"] == {"connects": 1, "disconnects": 0}


def test_reload_before_the_engine_has_answered(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """What was read anew holds for the containers that become known later."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    fake_engine.run("test")
    fake_engine.stop()
    running = start_agent(fake_engine, broker, agent={"interval": 3600})
    running.wait_for_line("cannot be reached")
    running.reload(agent={"interval": 1}, engine={"exclude": ["test"]})
    running.wait_for_line("reload: agent.interval, engine.exclude take effect")
    fake_engine.start()
    assert all(usage["interval"] < 3 for usage in subscriber.usages("web", count=3))
    assert subscriber.statuses("test") == []


def test_reload_during_the_end_changes_nothing(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """The agent ends as it was asked to."""
    broker = own_broker()
    subscriber = record(broker)
    running = start_agent(fake_engine, broker, shutdown={"timeout": 3})
    subscriber.agent("running")
    broker.freeze()
    running.signal(signal.SIGTERM)
    running.wait_for_line("ending within 3 s")
    running.reload(agent={"interval": 2})
    assert running.wait() == 0
    assert "reload" not in running.log
    broker.thaw()


def test_dry_run_is_reloaded_too(fake_engine: FakeEngine, start_agent: StartAgent, own_broker: OwnBroker) -> None:
    """It has no broker, so a change of its address means nothing but a restart."""
    fake_engine.run("web")
    running = start_agent(fake_engine, own_broker(), "run", "--dry-run")
    running.wait_for_line("/usage ", output=True)
    running.reload(agent={"interval": 2}, backoff={"cap": 100}, broker={"url": f"mqtt://127.0.0.1:{free_port()}"})
    running.wait_for_line("reload: agent.interval, backoff.cap take effect")
    running.wait_for_line("reload: broker.url needs a restart")
    running.wait_for_line('/h/status .*"interval":2', output=True)
