"""The broker refuses the agent: one log line with the remedy, slow attempts, and work as soon as the cause is gone."""

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.assertions.recording_subscriber import HOST, ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Subscriber
from support.fakes.engine import FakeEngine
from support.fakes.scripted_broker import (
    CONNECT,
    PUBLISH,
    Answer,
    Packet,
    ScriptedBroker,
    accept_all,
    connack,
    disconnect,
)

StartAgent = Callable[..., RunningAgent]
Record = Callable[..., RecordingSubscriber]
OwnBroker = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]

BACKOFF = {"base": 0.5, "factor": 2, "cap": 2}
WAITS = 0.5 + 1 + 2  # seconds between the first attempt and the fourth, at least


def told_once(running: RunningAgent, pattern: str) -> None:
    """Check that the agent has logged this warning once, and no other."""
    warnings = running.wait_for_line(" (warning|error) ")
    assert len(warnings) == len(running.wait_for_line(pattern)) == 1, warnings


def test_wrong_password_is_reported_and_the_corrected_one_used(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, short_path: Path
) -> None:
    """The log names the keys, not the password; a corrected file is read at the next attempt."""
    passwords, ours = short_path / "passwords", short_path / "password"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "agent", "right"], check=True, capture_output=True)
    acl = short_path / "acl"
    acl.write_text("topic read #\nuser agent\ntopic readwrite #\n")
    broker = own_broker("per_listener_settings false", f"password_file {passwords}", f"acl_file {acl}")
    ours.write_text("mistaken")
    ours.chmod(0o600)
    subscriber = record(broker)
    fake_engine.run("web")
    login = {"username": "agent", "password_file": str(ours)}
    running = start_agent(fake_engine, broker, backoff=BACKOFF, broker=login)
    four_attempts(broker, "not authorised")
    told_once(running, "refuses the agent: .*check broker.username")
    assert "mistaken" not in running.log
    ours.write_text("right")
    subscriber.usages("web")
    assert subscriber.missing("web") == 0


REFUSALS = {
    "the MQTT version is not spoken": (0x84, "set broker.protocol to the MQTT version that it speaks"),
    "the client id is not accepted": (0x85, "set broker.client_id to one that it accepts"),
    "the user is unknown": (0x86, "check broker.username and broker.password"),
    "the user has no rights": (0x87, "what the broker allows this user and client id to do"),
    "the server is unavailable": (0x88, "the broker's log may say why"),
    "the server is busy": (0x89, "the broker's log may say why"),
    "the client is banned": (0x8A, "ask who runs the broker why it has banned the agent"),
    "the quota is used up": (0x97, "ask who runs the broker for a larger quota"),
    "there are too many new connections": (0x9F, "raise backoff.base, so that the agent connects less often"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_refused_connection_is_retried_with_backoff(
    fake_engine: FakeEngine, scripted_broker: ScriptedBroker, start_agent: StartAgent, fault: str
) -> None:
    """Whatever the reason code, the agent attempts once in each step of the backoff, and logs the remedy once."""
    code, remedy = REFUSALS[fault]
    moments: list[float] = []

    def refuse(packet: Packet) -> Answer:
        if packet.kind != CONNECT or packet.level == 99:
            return accept_all(packet)
        moments.append(time.monotonic())
        return connack(5, code)

    scripted_broker.answer = refuse
    fake_engine.run("web")
    running = start_agent(fake_engine, scripted_broker, backoff=BACKOFF, broker={"protocol": "5"})
    scripted_broker.wait_for(CONNECT, 4)
    assert moments[3] - moments[0] >= WAITS - 0.1  # the broker may have been slow to look at the first
    told_once(running, remedy)
    if code not in (0x88, 0x89):  # these may pass at any moment, so it is looked out for that
        assert scripted_broker.connections == len(scripted_broker.received(CONNECT))
    scripted_broker.answer = accept_all
    wait_until(lambda: f"{ROOT}/web/usage" in published(scripted_broker), PATIENCE, "no usage comes")


def test_broker_with_too_many_clients_is_not_hammered(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, subscribe: Subscribe
) -> None:
    """A broker that closes new connections is tried with backoff, and used as soon as it has room."""
    broker = own_broker("max_connections 1")  # mosquitto 2.0.11 lets one more in than it says
    subscriber, other = record(broker), subscribe(broker.url, "elsewhere")
    fake_engine.run("web")
    running = start_agent(fake_engine, broker, backoff=BACKOFF)
    # Each second a look whether it is back, and in each step an attempt with either version of MQTT.
    moments = log_moments(broker, "denied: max_connections exceeded", 12)
    assert moments[11] - moments[0] >= 3
    told_once(running, "Or has it all the clients that it takes")
    other.close()
    subscriber.usages("web")
    assert subscriber.missing("web") == 0


def test_forbidden_topic_is_logged_once_and_others_are_published(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, short_path: Path
) -> None:
    """Its usages count as dropped, all others arrive. Rights that are granted later are used."""
    acl = short_path / "acl"
    acl.write_text(f"topic deny {ROOT}/secret/#\ntopic readwrite #\n")
    broker = own_broker(f"acl_file {acl}")
    subscriber = record(broker)
    for name in ("web", "secret"):
        fake_engine.run(name)
    running = start_agent(fake_engine, broker, backoff=BACKOFF, broker={"protocol": "5"})
    subscriber.usages("web", count=4)
    remedy = "not authorized; let the agent's user write to this topic, in the broker's access rules"
    for kind in ("status", "usage"):
        assert len(running.wait_for_line(f"on {ROOT}/secret/{kind}: {remedy}")) == 1
    outbox = subscriber.counters(after=time.monotonic())["outbox"]
    assert outbox["dropped"] >= 3
    assert subscriber.missing("web") == 0
    acl.write_text("topic readwrite #\n")
    broker.signal(signal.SIGHUP)
    subscriber.usages("secret")
    assert subscriber.status("secret", "running")
    counters = subscriber.counters(after=time.monotonic())
    assert counters["outbox"]["dropped"] == subscriber.missing("secret")
    assert counters["broker"] == {"connects": 1, "disconnects": 0}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_messages_that_are_too_large_are_dropped_alone(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record, protocol: str
) -> None:
    """Only the container whose messages are larger than the broker allows loses them; they are counted and logged.

    With MQTT 3.1.1 the broker closes the connection on them: that takes a few connections, not one for each usage.
    """
    broker = own_broker("max_packet_size 2200")
    subscriber = record(broker)
    fake_engine.run("web")
    fake_engine.run("large", image="x" * 2000)
    running = start_agent(fake_engine, broker, backoff=BACKOFF, broker={"protocol": protocol})
    for kind in ("status", "usage"):
        running.wait_for_line(f"on (the broker does not take messages on )?{ROOT}/large/{kind}")
    found = time.monotonic()
    subscriber.usages("web", count=5, after=found)
    outbox = subscriber.counters(after=time.monotonic())["outbox"]
    assert outbox["dropped"] >= 1
    assert subscriber.missing("web") == 0
    assert subscriber.statuses("web") == ["running"] * len(subscriber.statuses("web"))
    assert len(running.wait_for_line(f"{ROOT}/large/usage")) == 1


@pytest.mark.slow
def test_shared_client_id_slows_both_agents_down(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, record: Record
) -> None:
    """Two agents with one client id disconnect each other more and more slowly, and log that; one alone works again."""
    broker = own_broker()
    subscriber = record(broker)
    fake_engine.run("web")
    same = {"client_id": "same"}
    both = [
        start_agent(fake_engine, broker, agent={"host": host}, backoff=BACKOFF, broker=same) for host in (HOST, "other")
    ]
    moments = log_moments(broker, "Client same already connected", 12)
    assert moments[11] - moments[0] >= 5
    for running in both:
        running.wait_for_line(r"if another client uses the same client id .same., give each agent its own")
    both[1].kill()
    alone = time.monotonic()
    subscriber.usages("web", count=3, after=alone)


@pytest.mark.slow
def test_session_taken_over_makes_the_waits_grow(
    fake_engine: FakeEngine, scripted_broker: ScriptedBroker, start_agent: StartAgent
) -> None:
    """Waits grow although each connection had lasted: it lasted only for as long as the other agent waited."""
    begun: dict[int, float] = {}

    def take_over(packet: Packet) -> Answer:
        since = time.monotonic() - begun.setdefault(packet.connection, time.monotonic())
        return disconnect(0x8E) if packet.kind == PUBLISH and since > 5.5 else accept_all(packet)

    scripted_broker.answer = take_over
    fake_engine.run("web")
    backoff = {"base": 1, "factor": 2, "cap": 4}
    running = start_agent(fake_engine, scripted_broker, backoff=backoff, broker={"protocol": "5"})
    remedy = "another client uses the same client id .*; give each agent its own broker.client_id or agent.host"
    for seconds in (1, 2, 4):
        running.wait_for_line(f"Session taken over; {remedy} .trying again, in {seconds} s")
    scripted_broker.answer = accept_all
    scripted_broker.wait_for(CONNECT, 4)


def published(scripted_broker: ScriptedBroker) -> set[str]:
    """Return the topics on which a message arrived."""
    return {packet.topic for packet in scripted_broker.received(PUBLISH)}


def log_moments(broker: Mosquitto, pattern: str, count: int) -> list[int]:
    """Wait for `count` matching lines of the broker's log; return the times of all that match, in whole seconds."""

    def moments() -> list[int]:
        return [int(line.partition(":")[0]) for line in broker.log.splitlines() if re.search(pattern, line)]

    wait_until(lambda: len(moments()) >= count, PATIENCE, f"{len(moments())} of {count} lines match {pattern!r}")
    return moments()


def four_attempts(broker: Mosquitto, pattern: str) -> None:
    """Wait for four lines of the broker's log, each for one attempt, and fail if they came too fast."""
    moments = log_moments(broker, pattern, 4)
    assert moments[3] - moments[0] >= int(WAITS), moments
