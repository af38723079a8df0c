"""A subscriber in a process of its own, which notes when each usage arrives.

    python -m benchmarks.listener PORT FILE

Until SIGTERM; then it writes a line for each usage: topic, arrival and the reading's time (ns since the epoch).
"""

import signal
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.lateness import Arrival

FILTER = "containers/+/+/usage"
BEGINNING = 500  # bytes of a payload, within which its timestamp stands
KEY = b'"timestamp":'


def main(port: int, path: Path) -> None:
    """Listen, then write."""
    heard: list[tuple[int, str, bytes]] = []

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        heard.append((time.time_ns(), message.topic, bytes(message.payload[:BEGINNING])))

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(FILTER, 0)
    client.on_message = on_message
    # Waited for, and not handled: a handler would call the client in the middle of what it is doing, under its locks.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    client.connect("127.0.0.1", port)
    client.loop_start()
    signal.sigwait({signal.SIGTERM})
    client.disconnect()
    client.loop_stop()
    path.write_text("".join(f"{topic} {arrived} {timestamp(payload)}\n" for arrived, topic, payload in heard))


def timestamp(payload: bytes) -> int:
    """Return the reading's time from a usage's beginning."""
    _, _, rest = payload.partition(KEY)
    return int(rest.partition(b",")[0])


def read(path: Path) -> list[Arrival]:
    """Return what a listener has written."""
    lines = (line.split(" ") for line in path.read_text().splitlines())
    return [Arrival(topic, int(arrived), int(stamp)) for topic, arrived, stamp in lines]


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
