"""A subscriber in a process of its own, which records when each usage arrives.

    python -m benchmarks.listener PORT FILE

It ends at SIGTERM and then writes a line for each usage: topic, arrival and time of the reading (ns since the epoch).
"""

import signal
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.lateness import Arrival

FILTER = "containers/+/+/usage"
KEPT_BYTES = 500  # of each payload; the timestamp is within them
TIMESTAMP_KEY = b'"timestamp":'


def main(port: int, path: Path) -> None:
    """Record until SIGTERM, then write the file."""
    arrivals: list[tuple[int, str, bytes]] = []

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        arrivals.append((time.time_ns(), message.topic, bytes(message.payload[:KEPT_BYTES])))

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(FILTER, 0)
    client.on_message = on_message
    # The signal is waited for and not handled: a handler would call the client while another call holds its locks.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    client.connect("127.0.0.1", port)
    client.loop_start()
    signal.sigwait({signal.SIGTERM})
    client.disconnect()
    client.loop_stop()
    path.write_text("".join(f"{topic} {arrived} {timestamp(payload)}\n" for arrived, topic, payload in arrivals))


def timestamp(payload: bytes) -> int:
    """Return the time of the reading, given the first bytes of a usage's payload."""
    _, _, rest = payload.partition(TIMESTAMP_KEY)
    return int(rest.partition(b",")[0])


def read(path: Path) -> list[Arrival]:
    """Return the arrivals that a listener has written."""
    lines = (line.split(" ") for line in path.read_text().splitlines())
    return [Arrival(topic, int(arrived), int(stamp)) for topic, arrived, stamp in lines]


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
