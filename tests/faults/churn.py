"""What must hold however fast containers are started and removed."""

import json
import re

from support.assertions.recording_subscriber import ROOT, RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import retained

from agent.containers.supervisor import MAX_WORKERS

IDLE = 32  # connections to the engine that are kept open for later calls
STAYING = MAX_WORKERS  # threads: all workers but the first, and that of the readings, are started when there is work
A_LIFE = ["running", "exited", "removed", "cleared"]


class Size:
    """The agent's threads and descriptors now; `check` compares them later, when all collectors have ended."""

    def __init__(self, running: RunningAgent, subscriber: RecordingSubscriber) -> None:
        subscriber.counters()
        self._running = running
        self._threads, self._fds = running.threads(), running.fds()

    def check(self) -> None:
        """Wait until only idle connections and the schedulers' threads are left."""
        running = self._running
        wait_until(lambda: running.threads() <= self._threads + STAYING, PATIENCE, "threads are left behind")
        wait_until(lambda: running.fds() <= self._fds + IDLE, PATIENCE, "descriptors are left behind")


def last(broker: Mosquitto, name: str) -> dict[str, object]:
    """What the broker retains for a container."""
    found: dict[str, object] = json.loads(retained(broker.url, f"{ROOT}/{name}/status")[f"{ROOT}/{name}/status"])
    return found


def quiet(running: RunningAgent, but: str = "nothing") -> bool:
    """Return whether the agent has logged no warning, except for one."""
    complaints = [line for line in running.lines if re.search(" (warning|error) ", line)]
    return all(but in line for line in complaints)
