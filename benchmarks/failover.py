"""Measures how long usages stay away when the agent's node of a NATS cluster is lost, beside what the cluster needs.

PYTHONPATH=.:tests .venv/bin/python -m benchmarks.failover --rounds 10 --faults messages,frozen

A round: an agent is connected to a node, which is then killed or frozen. From that moment an independent client tries
every 100 ms to publish at a surviving node: when its message is acknowledged and has arrived, the cluster works again.
The subscriber is connected to a surviving node and has QoS 1, so that what arrives went through the cluster's streams.
"""

import argparse
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from support.daemons.agent import RunningAgent
from support.daemons.nats import Cluster, Node
from support.daemons.processes import wait_until
from support.daemons.subscriber import Received, Subscriber
from support.fakes.engine import FakeEngine

from benchmarks.progress import log_progress
from benchmarks.report import table

PROBE_SECONDS = 0.1  # between two attempts of the independent client
PROBE_TOPIC = "probe"
PATIENCE_SECONDS = 200.0

Choice = Callable[[Node], int]


def _leader_of(name: str) -> Choice:
    """Return a choice of the node that leads a stream, or the cluster (`meta`)."""
    return lambda node: -(name in node.leads())


FAULTS: dict[str, tuple[str, Choice]] = {
    "messages": ("kill", _leader_of("$MQTT_msgs")),
    "retained": ("kill", _leader_of("$MQTT_rmsgs")),
    "meta": ("kill", _leader_of("meta")),
    "follower": ("kill", lambda node: len(node.leads())),
    "frozen": ("freeze", _leader_of("$MQTT_msgs")),
}
"""What happens to the agent's node, and which one that is: the least by this figure."""


@dataclass(frozen=True, slots=True)
class Round:
    """The result of a round. The times are seconds from the fault.

    Attributes:
        fault: Name of the fault.
        led: How many streams the node led, the cluster itself included.
        cluster: Until the independent client's message had arrived.
        agent: Until a usage had arrived that was read after the fault.
        complete: Until no usage before that one was missing.
    """

    fault: str
    led: int
    cluster: float
    agent: float
    complete: float


class Attempt:
    """One attempt of the independent client: a clean session, one retained message with QoS 1, like a status."""

    def __init__(self, node: Node, done: threading.Event) -> None:
        self.mark = uuid.uuid4().hex
        self.acknowledged = False
        self._done = done
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, self.mark, protocol=MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False
        )
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", node.port)
        self._client.loop_start()

    def close(self) -> None:
        """End the client."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            client.publish(PROBE_TOPIC, self.mark, qos=1, retain=True)

    def _on_publish(self, *_: Any) -> None:
        self.acknowledged = True
        self._done.set()


def cluster_recovered(nodes: Sequence[Node], subscriber: Subscriber) -> float:
    """Return the monotonic moment at which the first message of an independent client has arrived."""
    done, attempts = threading.Event(), list[Attempt]()
    try:
        while not done.wait(PROBE_SECONDS):
            attempts.append(Attempt(nodes[len(attempts) % len(nodes)], done))
        marks = {attempt.mark.encode() for attempt in attempts if attempt.acknowledged}
        return subscriber.wait_for(lambda message: message.payload in marks, PATIENCE_SECONDS)[0].arrived
    finally:
        for attempt in attempts:
            attempt.close()


def agent_recovered(subscriber: Subscriber, fault: float) -> tuple[float, float]:
    """Return the moments at which a usage read after the fault has arrived, and the last one before it."""
    fault_time = time.time() - (time.monotonic() - fault)
    new = subscriber.wait_for(lambda message: _read_at(message) > fault_time, PATIENCE_SECONDS, after=fault)[0]

    def arrivals() -> dict[int, float]:
        first: dict[int, float] = {}
        for message in list(subscriber.messages):
            if _is_usage(message):
                first.setdefault(message.json["seq"], message.arrived)
        return {seq: arrived for seq, arrived in first.items() if seq <= new.json["seq"]}

    wait_until(lambda: _is_whole(arrivals()), PATIENCE_SECONDS, "a usage is lost")
    return new.arrived, max(arrivals().values())


def measure(cluster: Cluster, directory: Path, fault: str) -> Round:
    """Start everything, lose the agent's node, and measure."""
    action, choice = FAULTS[fault]
    lost, *others = sorted(cluster.nodes, key=choice)
    led = len(lost.leads())
    with ExitStack() as stack:
        engine = FakeEngine(directory / "engine.sock", containers=1)
        stack.callback(engine.close)
        engine.start()
        subscriber = Subscriber(others[1].url, protocol=MQTTProtocolVersion.MQTTv311)
        stack.callback(subscriber.close)
        agent = RunningAgent(directory / "agent", _config(engine, (lost, *others)))
        stack.callback(agent.close)
        began = time.monotonic()
        subscriber.wait_for(_is_usage, PATIENCE_SECONDS, count=8, after=began)  # the connection has lasted by then
        moment = time.monotonic()
        getattr(lost, action)()
        cluster_at = cluster_recovered(others, subscriber)
        agent_at, complete_at = agent_recovered(subscriber, moment)
        found = Round(fault, led, cluster_at - moment, agent_at - moment, complete_at - moment)
    lost.thaw() if lost.running else lost.start()
    cluster.wait_whole()
    return found


def page(rounds: Sequence[Round]) -> str:
    """Return the table of the results."""
    head = ["the agent's node", "it led", "cluster", "agent", "difference", "nothing missing"]
    return table(
        head,
        (
            [
                f"{each.fault} ({FAULTS[each.fault][0]})",
                f"{each.led}",
                f"{each.cluster:.1f} s",
                f"{each.agent:.1f} s",
                f"{each.agent - each.cluster:+.1f} s",
                f"{each.complete:.1f} s",
            ]
            for each in rounds
        ),
    )


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="in all (%(default)s)")
    parser.add_argument("--faults", default=",".join(FAULTS), metavar="FAULT,...", help="in turn (%(default)s)")
    options = parser.parse_args()
    faults = options.faults.split(",")
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="ua-failover-") as name:
        cluster = Cluster(Path(name) / "cluster")
        try:
            cluster.start()
            for number in range(options.rounds):
                directory = Path(name) / f"round{number}"
                directory.mkdir()
                rounds.append(measure(cluster, directory, faults[number % len(faults)]))
                log_progress(str(rounds[-1]))
        finally:
            cluster.close()
    print(page(rounds))
    return 0


def _config(engine: FakeEngine, nodes: Sequence[Node]) -> dict[str, dict[str, Any]]:
    return {
        "agent": {"host": "failover", "interval": 1},
        "engine": {"url": engine.url},
        "broker": {"url": [node.url for node in nodes], "client_id": f"usage-agent-{uuid.uuid4().hex[:8]}"},
        "shutdown": {"timeout": 2},
    }


def _is_usage(message: Received) -> bool:
    return message.topic.endswith("/usage")


def _read_at(message: Received) -> float:
    """Return when a usage was read, seconds since the epoch; 0 for another message."""
    return datetime.fromisoformat(message.json["time"]).timestamp() if _is_usage(message) else 0


def _is_whole(numbers: dict[int, float]) -> bool:
    return len(numbers) == max(numbers) - min(numbers) + 1


if __name__ == "__main__":
    sys.exit(main())
