"""The baseline: a loop that reads the same kernel files as the agent and publishes as many bytes, and nothing else.

    python -m benchmarks.baseline PORT INTERVAL PAYLOAD_BYTES PID:LEVEL…

No events, no statuses, no decoding, no percentages, no reconnecting: Python code that keeps the kernel's files of each
container open, reads them, and publishes at QoS 1 in one burst. All that the agent costs more is the cost of its work.
"""

import os
import select
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.limits import raise_descriptor_limit

CGROUP_ROOT = Path("/sys/fs/cgroup")
V1_FILES = {
    "cpuacct": ("cpuacct.usage", "cpuacct.stat"),
    "cpu": ("cpu.stat",),
    "memory": ("memory.stat", "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes"),
    "blkio": ("blkio.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"),
    "pids": ("pids.current", "pids.max"),
}
V2_FILES = (
    "cpu.stat",
    "memory.stat",
    "memory.current",
    "memory.peak",
    "memory.max",
    "io.stat",
    "pids.current",
    "pids.max",
)


def open_files(pid: int) -> list[int]:
    """Open the files with the resource usage of the container of this process. Return their descriptors."""
    found = [Path(f"/proc/{pid}/net/dev")]
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers:
            found += [
                CGROUP_ROOT / controller / group[1:] / name
                for controller in controllers.split(",")
                for name in V1_FILES.get(controller, ())
            ]
        else:
            found += [CGROUP_ROOT / group[1:] / name for name in V2_FILES]
    return [os.open(path, os.O_RDONLY) for path in found if path.exists()]


class BaselineLoop:
    """Reads and publishes in one thread."""

    def __init__(self, port: int, containers: dict[str, list[int]], payload: bytes) -> None:
        self._containers = containers
        self._payload = payload
        self._acks = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port, keepalive=60)
        while not self._client.is_connected():
            self._poll_broker()

    def run(self, interval: float) -> None:
        """Read and publish once an interval, until the process is ended."""
        due = time.monotonic()
        while True:
            for topic, descriptors in self._containers.items():
                read(descriptors)
                self._client.publish(topic, self._payload, qos=1)
            while self._acks < len(self._containers):
                self._poll_broker()
            self._acks = 0
            self._client.loop_misc()
            due += interval
            time.sleep(max(0, due - time.monotonic()))

    def _poll_broker(self) -> None:
        sock = self._client.socket()
        assert sock is not None, "the broker is gone"  # noqa: S101  # then there is nothing to measure
        # Not select(), which cannot wait for descriptors above 1023.
        poller = select.poll()
        poller.register(sock, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        for _, events in poller.poll(1000):
            if events & ~select.POLLOUT:
                self._client.loop_read()
            if events & select.POLLOUT:
                self._client.loop_write()

    def _on_publish(self, *_: object) -> None:
        self._acks += 1


def read(descriptors: Iterable[int]) -> None:
    """Read files from their start."""
    for descriptor in descriptors:
        os.pread(descriptor, 65536, 0)


def main() -> None:
    """Open the files of each container, then run."""
    raise_descriptor_limit()
    port, interval, size, *containers = sys.argv[1:]
    pairs = [container.split(":") for container in containers]
    found = {f"baseline/bench/{level}/usage": open_files(int(pid)) for pid, level in pairs}
    BaselineLoop(int(port), found, b"x" * int(size)).run(float(interval))


if __name__ == "__main__":
    main()
