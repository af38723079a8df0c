"""A cluster of NATS servers: usages arrive although the agent's node is lost, and nothing is left to a timeout.

The keepalive is 18 hours, so a test fails if a frozen node is left because of it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from support.daemons.nats import Cluster

from mqtt.harness import USAGE, ExpectWarnings, Publish, Subscribe, status, usage


@pytest.fixture
def cluster(short_path: Path) -> Iterator[Cluster]:
    """Yield a cluster of three nodes."""
    made = Cluster(short_path / "cluster")
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_lost_node_is_left_for_another(
    cluster: Cluster, publish: Publish, subscribe: Subscribe, expected_warnings: ExpectWarnings, fault: str
) -> None:
    """If the agent's node is killed or frozen, another one delivers all usages, as soon as the cluster has a leader."""
    expected_warnings(
        "lost the connection",
        "nobody listens there",
        "closed the connection",
        "does not answer",
        "acknowledges nothing",
    )
    lost, *others = cluster.nodes
    subscriber = subscribe(others[1].url, USAGE, protocol=MQTTProtocolVersion.MQTTv311)
    running = publish([node.url for node in (lost, *others)], backoff=5, factor=4, keepalive=65535)
    running.deliver(status(), usage(0))
    getattr(lost, fault)()
    running.deliver(*(usage(number) for number in range(1, 20)))
    arrived = {int(message.payload) for message in subscriber.on(USAGE, count=20)}
    assert arrived == set(range(20))
    assert running.counters()["dropped"] == 0
