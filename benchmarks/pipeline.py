"""The CPU time of one usage, from the stats document to the broker's acknowledgement.

    python -m benchmarks.pipeline PORT BURST COUNT

Runs the agent's own parts against a real broker, with documents as an engine sends them, for BURST containers at once.
Prints the CPU time of a usage in seconds. It is a separate process, which does nothing else meanwhile.
"""

import secrets
import sys
import threading
import time

from support.fakes.container import FakeContainer

from agent.config import BrokerSettings
from agent.containers.container import parse_inspect
from agent.containers.status import ContainerStatusPublisher
from agent.engine import stats
from agent.messages.outbox import Outbox
from agent.messages.topics import Message, MessageBuilder
from agent.metrics.rates import compute_usage
from agent.metrics.reading import Reading
from agent.mqtt.publisher import Publisher
from agent.mqtt.subscription import Subscription
from agent.runtime.retry import BackoffPolicy
from agent.runtime.watchdog import Watchdog
from benchmarks.documents import Template

INTERVAL_SECONDS = 10  # between two documents of a container, by the times in them
ANSWER_TIMEOUT_SECONDS = 30.0


class Pipeline:
    """Containers, an outbox and a publisher, wired as in the agent."""

    def __init__(self, port: int, burst: int) -> None:
        self._outbox = Outbox(1000, "drop_newest")
        messages = MessageBuilder("containers", "bench", 1)
        will = Message("containers/bench/status", b"{}", retain=True, qos=1)
        self._publisher = Publisher(
            BrokerSettings(url=(f"mqtt://127.0.0.1:{port}",), client_id="usage-agent-bench"),
            self._outbox,
            will=lambda: will,
            subscription=lambda: Subscription(messages.own_topics),
            on_retained=lambda _retained: None,
            on_live=lambda _topic, _payload: False,
            backoff=BackoffPolicy(5, 4, 120),
            watchdog=Watchdog(),
            interval=lambda: 10,
        )
        self._thread = threading.Thread(target=self._publisher.run, daemon=True)
        self._containers = [FakeContainer(secrets.token_hex(32), f"c{number}") for number in range(burst)]
        self._templates = [Template(container) for container in self._containers]
        self._statuses = [
            ContainerStatusPublisher(container.name, self._outbox, messages) for container in self._containers
        ]
        self._readings: list[Reading | None] = [None] * burst
        self._now = time.time_ns()

    def run(self, count: int) -> float:
        """Publish so many usages. Return the CPU seconds of one."""
        self._start()
        bursts = [self._documents() for _ in range(max(1, count // len(self._statuses)))]
        before = time.process_time_ns()
        for burst in bursts:
            self._send(burst)
        used = time.process_time_ns() - before
        self._publisher.stop(time.monotonic() + ANSWER_TIMEOUT_SECONDS)
        self._thread.join(ANSWER_TIMEOUT_SECONDS)
        return used / 1e9 / (len(bursts) * len(self._statuses))

    def _start(self) -> None:
        """Connect, announce the containers, and take their first readings."""
        for status, container in zip(self._statuses, self._containers, strict=True):
            container.state = "running"
            status.move(container.name, old_becomes_free=False)
            status.announce_running(parse_inspect(container.inspect()))
        self._thread.start()
        for _ in range(3):
            self._send(self._documents())
        time.sleep(4)  # until the publisher has finished reading retained messages

    def _documents(self) -> list[bytes]:
        self._now += INTERVAL_SECONDS * 10**9
        return [template.at(self._now) for template in self._templates]

    def _send(self, burst: list[bytes]) -> None:
        for index, (status, raw) in enumerate(zip(self._statuses, burst, strict=True)):
            reading = stats.parse_stats(raw, self._now / 1e9)
            previous, self._readings[index] = self._readings[index], reading
            if previous is not None and (measurements := compute_usage(previous, reading, None)) is not None:
                status.publish_usage(measurements)
        if not self._outbox.wait_idle(ANSWER_TIMEOUT_SECONDS):
            raise SystemExit("error: the broker does not answer")


def main() -> None:
    """Run it, and print the result."""
    port, burst, count = (int(argument) for argument in sys.argv[1:])
    print(Pipeline(port, burst).run(count))


if __name__ == "__main__":
    main()
