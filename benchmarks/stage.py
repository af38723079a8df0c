"""The stage: an engine with containers, and a broker, both of our own, both ended with us."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support.daemons.dockerd import PrivateEngine
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import Subscriber

from benchmarks.progress import say

IDLE = ("sleep", "2147483647")
BUSY = ("sh", "-c", "while :; do dd if=/dev/zero of=/dev/null bs=64k count=500 2>/dev/null; sleep 1; done")
EVERY = 20  # one container of so many does a little

RECEIVED = {
    "messages": "$SYS/broker/publish/messages/received",
    "payload": "$SYS/broker/publish/bytes/received",
    "wire": "$SYS/broker/bytes/received",
}


def open_broker(directory: Path) -> Mosquitto:
    """Return a broker that tells once a second what it has received, and logs nothing."""
    broker = Mosquitto(directory, "sys_interval 1")
    broker.config.write_text(broker.config.read_text().replace("log_type all", "log_type error"))
    broker.start()
    first = Subscriber(broker.url)
    try:
        first.publish("bench", b"first")  # what it never received, it does not tell of
    finally:
        first.close()
    return broker


class Traffic:
    """What a broker tells of what it has received. It tells when that changes, and forgets it after a minute."""

    def __init__(self, broker: Mosquitto) -> None:
        self._told = Subscriber(broker.url, *RECEIVED.values())

    def received(self) -> dict[str, int]:
        """Return the messages, bytes of payload and bytes on the wire that the broker had received a moment ago."""
        last = {message.topic: int(message.payload) for message in self._told.messages}
        return {name: last.get(topic, 0) for name, topic in RECEIVED.items()}

    def close(self) -> None:
        """Listen no more."""
        self._told.close()


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What candidates run on. `pids` are the containers' first processes, by name."""

    engine: PrivateEngine
    broker: Mosquitto
    traffic: Traffic
    directory: Path
    pids: dict[str, int]

    def engine_processes(self) -> set[int]:
        """Return what the engine's CPU time is counted of."""
        return self.engine.processes()


@contextlib.contextmanager
def opened(directory: Path, containers: int) -> Iterator[Stage]:
    """Give a stage with so many containers."""
    say("starting an engine and a broker")
    with contextlib.ExitStack() as stack:
        broker = open_broker(directory / "broker")
        stack.callback(broker.close)
        traffic = Traffic(broker)
        stack.callback(traffic.close)
        engine = PrivateEngine(directory / "engine")
        stack.callback(engine.close)
        stack.callback(say, "ending the engine and its containers")
        engine.start()
        yield Stage(engine, broker, traffic, directory, _fill(engine, containers))


def _fill(engine: PrivateEngine, containers: int) -> dict[str, int]:
    say(f"starting {containers} containers")

    def run(number: int) -> str:
        return engine.run(*(BUSY if number % EVERY == 0 else IDLE), name=f"c{number}")

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(run, range(containers)))
    return {each["Name"].removeprefix("/"): each["State"]["Pid"] for each in json.loads(engine.docker("inspect", *ids))}
