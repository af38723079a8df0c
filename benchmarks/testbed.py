"""The testbed: a private engine with containers and a private broker, both ended with the benchmark."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import Subscriber

from benchmarks.progress import log_progress

IDLE_COMMAND = ("sleep", "2147483647")
BUSY_COMMAND = ("sh", "-c", "while :; do dd if=/dev/zero of=/dev/null bs=64k count=500 2>/dev/null; sleep 1; done")
CONTAINERS_PER_BUSY_ONE = 20

TRAFFIC_TOPICS = {
    "messages": "$SYS/broker/publish/messages/received",
    "payload": "$SYS/broker/publish/bytes/received",
    "wire": "$SYS/broker/bytes/received",
}


def start_broker(directory: Path) -> Mosquitto:
    """Start a broker that publishes once a second what it has received, and logs errors only."""
    broker = Mosquitto(directory, "sys_interval 1")
    broker.config.write_text(broker.config.read_text().replace("log_type all", "log_type error"))
    broker.start()
    first = Subscriber(broker.url)
    try:
        first.publish("bench", b"first")  # mosquitto publishes no counter that is still 0
    finally:
        first.close()
    return broker


class BrokerTraffic:
    """What a broker has received. Mosquitto publishes a counter when it has changed, and clears it after a minute."""

    def __init__(self, broker: Mosquitto) -> None:
        self._subscriber = Subscriber(broker.url, *TRAFFIC_TOPICS.values())

    def received(self) -> dict[str, int]:
        """Return the messages, bytes of payload and bytes on the wire that the broker had received a moment ago."""
        latest = {message.topic: int(message.payload) for message in self._subscriber.messages}
        return {name: latest.get(topic, 0) for name, topic in TRAFFIC_TOPICS.items()}

    def close(self) -> None:
        """Disconnect."""
        self._subscriber.close()


@dataclass(frozen=True, slots=True, eq=False)
class Testbed:
    """What candidates run on. `pids` are the first processes of the containers, by container name."""

    engine: PrivateEngine
    broker: Mosquitto
    traffic: BrokerTraffic
    directory: Path
    pids: dict[str, int]

    def engine_processes(self) -> set[int]:
        """Return the processes whose CPU time is the engine's."""
        return self.engine.processes()


@contextlib.contextmanager
def create_testbed(directory: Path, containers: int) -> Iterator[Testbed]:
    """Provide a testbed with so many containers while the block runs."""
    log_progress("starting an engine and a broker")
    with contextlib.ExitStack() as stack:
        broker = start_broker(directory / "broker")
        stack.callback(broker.close)
        traffic = BrokerTraffic(broker)
        stack.callback(traffic.close)
        engine = PrivateEngine(directory / "engine")
        stack.callback(engine.close)
        stack.callback(log_progress, "ending the engine and its containers")
        engine.start()
        yield Testbed(engine, broker, traffic, directory, _start_containers(engine, containers))


def _start_containers(engine: PrivateEngine, count: int) -> dict[str, int]:
    log_progress(f"starting {count} containers")

    def run(number: int) -> str:
        command = BUSY_COMMAND if number % CONTAINERS_PER_BUSY_ONE == 0 else IDLE_COMMAND
        return engine.run(*command, name=f"c{number}")

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(run, range(count)))
    documents = json.loads(engine.docker("inspect", *ids))
    return {document["Name"].removeprefix("/"): document["State"]["Pid"] for document in documents}
